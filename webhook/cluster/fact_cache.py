"""Short-lived cache of facts, so that a burst of pods needs only a few reads.

Concurrent requests share one read of an object. A found object is cached for some seconds. A missing object is only
valid for requests that arrived before the read began: a Secret that was just created must be found by the pod that is
created next.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from webhook.cluster.facts import Facts
from webhook.cluster.kinds import Key
from webhook.cluster.lookups import Read, always, gather
from webhook.errors import LookupFailed, Unavailable
from webhook.metrics import Metrics
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings

T = TypeVar("T")


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
    entries: int = 20_000
    """The number of cached objects."""


class Reader(Protocol):
    """Reads one object. Blocking; called on a thread."""

    def __call__(self, key: Key[T], seconds: float) -> T | None:
        """The fact, or None when there is none. `seconds` is the timeout. Raises LookupFailed."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    read_at: float
    """When the last read began."""
    expires: float
    confirmed_at: float
    """When the read that returned the value began. Earlier than `read_at` if later reads failed."""


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
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="lookup")
        self._entries: dict[Key[Any], _Entry] = {}
        self._in_flight: dict[Key[Any], asyncio.Task[None]] = {}

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request if all are cached; no I/O."""
        facts = self.peek(request, settings)
        if facts is not None:
            self._metrics.on_lookup("cached")
        return facts

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """Like `cached`, but not counted in metrics."""
        missing: list[Key[Any]] = []
        facts = gather(request, settings, self._cached_read(self._clock(), missing))
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
        try:
            async with asyncio.timeout(self._limits.budget):
                while True:
                    facts = gather(request, settings, self._cached_read(arrived, missing))
                    if not missing:
                        return facts
                    await self._read_all(missing)
                    missing.clear()
        except TimeoutError:
            if (stale := self._stale_facts(request, settings)) is not None:
                return stale
            names = ", ".join(map(str, missing))
            raise LookupFailed(
                f"the API server did not respond within {self._limits.budget:g} s when the storage webhook read "
                f"{names}: try again"
            ) from None

    def _stale_facts(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The last known facts of a request, if all were confirmed within the last `Limits.stale` seconds."""
        oldest = self._clock() - self._limits.stale
        missing: list[Key[Any]] = []

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = self._entries.get(key)
            if entry is None or entry.value is None or entry.confirmed_at < oldest or not suffices(entry.value):
                missing.append(key)
                return None
            found: T = entry.value
            return found

        facts = gather(request, settings, read)
        return None if missing else facts

    def _cached_read(self, arrived: float, missing: list[Key[Any]]) -> Read:
        """A `Read` from the cache for a request that arrived at `arrived`; appends what must be read to `missing`."""
        now = self._clock()

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = self._entries.get(key)
            if entry is not None and entry.expires > now:
                found: T | None = entry.value
                if entry.read_at >= arrived or (found is not None and suffices(found)):
                    return found
            missing.append(key)
            return None

        return read

    async def _read_all(self, keys: list[Key[Any]]) -> None:
        # No TaskGroup: it would cancel reads that other requests wait for.
        done, _ = await asyncio.wait({self._read_task(key) for key in keys})
        for task in done:
            task.result()

    def _read_task(self, key: Key[Any]) -> asyncio.Task[None]:
        """The read of this object that is in flight; started when there is none."""
        if key not in self._in_flight:
            self._in_flight[key] = task = asyncio.create_task(self._refresh(key))
            task.add_done_callback(lambda done: self._on_done(key, done))
        return self._in_flight[key]

    def _on_done(self, key: Key[Any], task: asyncio.Task[None]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            # Retrieve the exception, or asyncio logs it when no request waits for the task.
            task.exception()

    async def _refresh(self, key: Key[Any]) -> None:
        started = self._clock()
        fallback = self._fallback(key, started)
        try:
            value = await self._read_with_retries(key, started, () if fallback else self._limits.retry_delays)
        except LookupFailed:
            if fallback is None:
                raise
            value, confirmed = fallback
            self._put(key, value, started, self._limits.not_found, confirmed)
        else:
            self._put(key, value, started, self._limits.not_found if value is None else self._limits.found)

    def _fallback(self, key: Key[Any], now: float) -> tuple[Any, float] | None:
        """The value to use when the read fails, and when it was confirmed: the stale value, or the kind's `unknown`."""
        entry = self._entries.get(key)
        if entry is not None and entry.value is not None and now - entry.confirmed_at < self._limits.stale:
            return entry.value, entry.confirmed_at
        return (key.kind.unknown, now) if key.kind.unknown is not None else None

    async def _read_with_retries(self, key: Key[Any], started: float, delays: tuple[float, ...]) -> Any:
        for delay in delays:
            try:
                return await self._in_thread(key, started)
            except Unavailable:
                await asyncio.sleep(delay)
        return await self._in_thread(key, started)

    async def _in_thread(self, key: Key[Any], started: float) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, key, started)

    def _read(self, key: Key[Any], started: float) -> Any:
        waited = self._clock() - started
        if waited > self._limits.budget:
            # The requests that wanted it have timed out. Free the thread for others.
            raise LookupFailed(f"the storage webhook was too busy to read {key}: try again")
        self._metrics.on_read(key.kind.name)
        return self._reader(key, self._limits.read_timeout)

    def _put(self, key: Key[Any], value: Any, started: float, seconds: float, confirmed: float | None = None) -> None:
        jitter = random.uniform(1 - self._limits.jitter, 1 + self._limits.jitter)  # noqa: S311 - not for security
        now = self._clock()
        if len(self._entries) >= self._limits.entries and key not in self._entries:
            self._evict(now)
        confirmed_at = started if confirmed is None else confirmed
        self._entries[key] = _Entry(value, started, now + seconds * jitter, confirmed_at)

    def _evict(self, now: float) -> None:
        """Remove expired entries, then the oldest, until there is space for one."""
        self._entries = {key: entry for key, entry in self._entries.items() if entry.expires > now}
        while len(self._entries) >= self._limits.entries:
            self._entries.pop(next(iter(self._entries)))
