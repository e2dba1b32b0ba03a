"""Short-lived cache of facts, so that a burst of pods needs only a few reads.

Concurrent requests share one read of an object. A found object is cached for some seconds. A missing object is only
valid for requests that arrived before the read began: a Secret that was just created must be found by the pod that is
created next. What can be no name of an object is neither read nor cached.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from webhook.cluster.fact_store import Entry, FactStore, size_of
from webhook.cluster.facts import Facts
from webhook.cluster.kinds import Key
from webhook.cluster.lookups import Read, always, gather
from webhook.cluster.read_queue import ReadQueue
from webhook.errors import LookupFailed, Unavailable
from webhook.metrics import Metrics
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings

T = TypeVar("T")

_MAX_NAMES = 3
"""The number of objects that a message names."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in seconds, and sizes."""

    found: float = 20
    """How long a found object is cached, plus or minus `jitter`."""
    not_found: float = 5
    """How long a missing object is cached for the requests that wait for it; must exceed `budget`."""
    stale: float = 600
    """How long a found object may be used while the API server does not respond."""
    jitter: float = 0.2
    """A fraction. Replicas do not refresh at the same time, nor objects that were read together."""
    budget: float = 3
    """The time for the lookups of one admission request. The API server's timeout for the webhook is 5 s."""
    read_timeout: float = 2
    """The timeout of one read."""
    retry_delays: tuple[float, ...] = (0.1, 0.3, 0.8)
    """The delays before retries, when the API server is unavailable and the object is not cached."""
    threads: int = 8
    """The number of concurrent reads."""
    threads_per_namespace: int = 4
    """The number of concurrent reads of one namespace; less than `threads`, so that none takes them all."""
    threads_unconfirmed: int = 6
    """The number of concurrent reads of all namespaces in which no object was found yet; less than `threads`."""
    waiting_per_namespace: int = 256
    """The number of reads of one namespace that run or wait; more are rejected."""
    entries: int = 20_000
    """The number of cached objects."""
    bytes: int = 32 * 1024 * 1024
    """The memory of all cached objects."""


class Reader(Protocol):
    """Reads one object. Blocking; called on a thread."""

    def __call__(self, key: Key[T], seconds: float) -> T | None:
        """The fact, or None when there is none. `seconds` is the timeout. Raises LookupFailed."""


class _Sized(NamedTuple):
    """A fact, and the memory that it takes in bytes."""

    value: Any
    size: int

    @classmethod
    def of(cls, fact: Any) -> _Sized:
        """Measured on the thread that read the fact, because large ones take time."""
        return cls(fact, size_of(fact))


class _Fallback(NamedTuple):
    fact: _Sized
    confirmed_at: float


class FactCache:
    """A source of facts that reads what is not cached."""

    def __init__(
        self,
        reader: Reader,
        metrics: Metrics | None = None,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns monotonic seconds."""
        self._reader = reader
        self._metrics = metrics or Metrics()
        self._limits = limits
        self._clock = clock
        self._queue = ReadQueue(
            limits.threads, limits.threads_per_namespace, limits.threads_unconfirmed, limits.waiting_per_namespace
        )
        self._store = FactStore(limits.entries, limits.bytes)
        self._in_flight: dict[Key[Any], asyncio.Task[Entry]] = {}

    @property
    def size(self) -> int:
        """The memory that the cached objects take, in bytes, approximately."""
        return self._store.size

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request if all are cached; no I/O."""
        facts = self.peek(request, settings)
        if facts is not None:
            self._metrics.on_lookup("cached")
        return facts

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """Like `cached`, but not counted in metrics."""
        missing: list[Key[Any]] = []
        facts = gather(request, settings, self._cached_read(self._clock(), missing, {}))
        return None if missing else facts

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request; missing ones are read, concurrently where possible.

        Raises LookupFailed when a read fails, or the budget is exceeded.
        """
        try:
            facts = await self._lookup(request, settings)
        except LookupFailed:
            self._metrics.on_lookup("failed")
            raise
        self._metrics.on_lookup("read")
        return facts

    async def _lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        arrived = self._clock()
        missing: list[Key[Any]] = []
        # The cache may have no space for all objects of a request at once.
        found: dict[Key[Any], Entry] = {}
        try:
            async with asyncio.timeout(self._limits.budget):
                while True:
                    facts = gather(request, settings, self._cached_read(arrived, missing, found))
                    if not missing:
                        return facts
                    found.update(await self._read_all(missing))
                    missing.clear()
        except TimeoutError:
            if (stale := self._stale_facts(request, settings)) is not None:
                return stale
            raise LookupFailed(
                f"the API server did not respond within {self._limits.budget:g} s when the storage webhook read "
                f"{_listed(missing)}: try again"
            ) from None

    def _stale_facts(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The last known facts of a request, if all were confirmed within the last `Limits.stale` seconds."""
        oldest = self._clock() - self._limits.stale
        missing: list[Key[Any]] = []

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = self._store.get(key)
            if entry is None or entry.value is None or entry.confirmed_at < oldest or not suffices(entry.value):
                return _missing(key, missing)
            found: T = entry.value
            return found

        facts = gather(request, settings, read)
        return None if missing else facts

    def _cached_read(self, arrived: float, missing: list[Key[Any]], own: Mapping[Key[Any], Entry]) -> Read:
        """A `Read` from the cache for a request that arrived at `arrived`; appends what must be read to `missing`.

        `own` is what was read for this request.
        """
        now = self._clock()

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = own.get(key) or self._store.get(key)
            if entry is not None and entry.expires > now:
                found: T | None = entry.value
                if entry.read_at >= arrived or (found is not None and suffices(found)):
                    return found
            return _missing(key, missing)

        return read

    async def _read_all(self, keys: list[Key[Any]]) -> Mapping[Key[Any], Entry]:
        tasks = {key: self._read_task(key) for key in keys}
        # No TaskGroup: it would cancel reads that other requests wait for.
        await asyncio.wait(tasks.values())
        return {key: task.result() for key, task in tasks.items()}

    def _read_task(self, key: Key[Any]) -> asyncio.Task[Entry]:
        """The read of this object that is in flight; started when there is none."""
        if key not in self._in_flight:
            self._in_flight[key] = task = asyncio.create_task(self._refresh(key))
            task.add_done_callback(lambda done: self._on_done(key, done))
        return self._in_flight[key]

    def _on_done(self, key: Key[Any], task: asyncio.Task[Entry]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            # Retrieve the exception, or asyncio logs it when no request waits for the task.
            task.exception()

    async def _refresh(self, key: Key[Any]) -> Entry:
        started = self._clock()
        fallback = self._fallback(key, started)
        try:
            read = await self._read_with_retries(key, started, () if fallback else self._limits.retry_delays)
        except LookupFailed:
            if fallback is None:
                raise
            return self._put(key, fallback.fact, self._limits.not_found, started, fallback.confirmed_at)
        return self._put(key, read, self._limits.not_found if read.value is None else self._limits.found, started)

    def _fallback(self, key: Key[Any], now: float) -> _Fallback | None:
        """The fact to use when the read fails: the stale one, or the kind's `unknown`."""
        entry = self._store.get(key)
        if entry is not None and entry.value is not None and now - entry.confirmed_at < self._limits.stale:
            return _Fallback(_Sized(entry.value, entry.size), entry.confirmed_at)
        return None if key.kind.unknown is None else _Fallback(_Sized.of(key.kind.unknown), now)

    async def _read_with_retries(self, key: Key[Any], started: float, delays: tuple[float, ...]) -> _Sized:
        for delay in delays:
            try:
                return await self._in_thread(key, started)
            except Unavailable:
                await asyncio.sleep(delay)
        return await self._in_thread(key, started)

    async def _in_thread(self, key: Key[Any], started: float) -> _Sized:
        fact = await self._queue.run(key.namespace, lambda: self._read(key, started))
        if fact.value is not None and fact.value is not key.kind.forbidden:
            self._queue.confirm(key.namespace)
        return fact

    def _read(self, key: Key[Any], started: float) -> _Sized:
        waited = self._clock() - started
        if waited > self._limits.budget:
            # The requests that wanted it have timed out. Free the thread for others.
            raise LookupFailed(f"the storage webhook was too busy to read {key}: try again")
        self._metrics.on_read(key.kind.name)
        return _Sized.of(self._reader(key, self._limits.read_timeout))

    def _put(
        self, key: Key[Any], fact: _Sized, seconds: float, started: float, confirmed: float | None = None
    ) -> Entry:
        jitter = random.uniform(1 - self._limits.jitter, 1 + self._limits.jitter)  # noqa: S311 - not for security
        now = self._clock()
        expires = now + seconds * jitter
        confirmed_at = started if confirmed is None else confirmed
        useless_at = expires if fact.value is None else max(expires, confirmed_at + self._limits.stale)
        entry = Entry(fact.value, fact.size, started, expires, confirmed_at, useless_at)
        self._store.put(key, entry, now)
        return entry


def _missing(key: Key[T], missing: list[Key[Any]]) -> T | None:
    """Append a key that must be read to `missing`. What can be no name is neither read nor kept."""
    if not key.can_exist:
        return key.kind.absent
    missing.append(key)
    return None


def _listed(keys: list[Key[Any]]) -> str:
    """The first objects, for a message, and how many more there are."""
    names = ", ".join(map(str, keys[:_MAX_NAMES]))
    return f"{names} and {len(keys) - _MAX_NAMES} more" if len(keys) > _MAX_NAMES else names
