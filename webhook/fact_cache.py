"""Facts kept for a short while, so that a burst of pods costs a handful of reads.

One read of an object serves all that wait for it. What was found is believed for some seconds. What was not found
is believed only by requests that came before it was asked for: a Secret made a moment ago must count for the pod
made right after it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from webhook.errors import LookupFailed, Unanswered
from webhook.facts import Facts
from webhook.metrics import Metrics
from webhook.needs import Read, always, gather
from webhook.objects import Key
from webhook.request import ModelRequest
from webhook.settings.model import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things last, in seconds, and how many there may be."""

    found: float = 20
    """What was found is believed so long, give or take `jitter`."""
    not_found: float = 5
    """What was not found is kept so long, for those who wait for it; more than `budget`."""
    stale: float = 600
    """What was found is believed so long, when the API server does not answer: it may be gone for a while."""
    jitter: float = 0.2
    """A share: replicas and objects that were read together are not read together again."""
    budget: float = 3
    """What one admission may spend on lookups; the API server gives the webhook 5 s for all."""
    answer: float = 2
    """What one read may take."""
    again: tuple[float, ...] = (0.1, 0.3, 0.8)
    """How long to wait before asking again an API server that was not able to answer, where nothing is known yet."""
    threads: int = 8
    """Reads that are under way at once."""
    entries: int = 20_000
    """Objects that are remembered."""


class Ask(Protocol):
    """Reads one object, blocking; runs on a thread."""

    def __call__(self, key: Key[T], seconds: float) -> T | None:
        """The fact, or None when there is none. Raises LookupFailed after so many seconds, or for another reason."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    asked: float
    expires: float
    found: float
    """When the cluster last said so."""


class FactCache:
    """A source of facts that asks for what it does not remember."""

    def __init__(
        self,
        ask: Ask,
        metrics: Metrics | None = None,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds, and only goes up."""
        self._ask = ask
        self._metrics = metrics or Metrics()
        self._limits = limits
        self._clock = clock
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="lookup")
        self._entries: dict[Key[Any], _Entry] = {}
        self._flights: dict[Key[Any], asyncio.Task[None]] = {}

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request, when all are remembered; no I/O."""
        facts = self.peek(request, settings)
        if facts is not None:
            self._metrics.looked_up("memory")
        return facts

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """Like `cached`, and not counted."""
        missing: list[Key[Any]] = []
        facts = gather(request, settings, self._reader(self._clock(), missing))
        return None if missing else facts

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request; what is missing is asked for, all at once where it can be.

        Raises LookupFailed when an answer does not come within the budget, or is an error.
        """
        try:
            facts = await self._lookup(request, settings)
        except LookupFailed:
            self._metrics.looked_up("failed")
            raise
        self._metrics.looked_up("cluster")
        return facts

    async def _lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        arrived = self._clock()
        missing: list[Key[Any]] = []
        try:
            async with asyncio.timeout(self._limits.budget):
                while True:
                    facts = gather(request, settings, self._reader(arrived, missing))
                    if not missing:
                        return facts
                    await self._ask_for(missing)
                    missing.clear()
        except TimeoutError:
            if (known := self._known(request, settings)) is not None:
                return known
            names = ", ".join(map(str, missing))
            raise LookupFailed(
                f"the API server did not say within {self._limits.budget:g} s what the storage webhook needs to know "
                f"of {names}: try again"
            ) from None

    def _known(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request as they last were, if all were known not too long ago."""
        oldest = self._clock() - self._limits.stale
        missing: list[Key[Any]] = []

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = self._entries.get(key)
            if entry is None or entry.value is None or entry.found < oldest or not suffices(entry.value):
                missing.append(key)
                return None
            found: T = entry.value
            return found

        facts = gather(request, settings, read)
        return None if missing else facts

    def _reader(self, arrived: float, missing: list[Key[Any]]) -> Read:
        """Reads from memory, for a request that came at `arrived`, and collects what is not there."""
        now = self._clock()

        def read(key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
            entry = self._entries.get(key)
            if entry is not None and entry.expires > now:
                found: T | None = entry.value
                if entry.asked >= arrived or (found is not None and suffices(found)):
                    return found
            missing.append(key)
            return None

        return read

    async def _ask_for(self, keys: list[Key[Any]]) -> None:
        # Not a group of tasks of this request's own: others wait for them as well.
        flights, _ = await asyncio.wait({self._flight(key) for key in keys})
        for flight in flights:
            flight.result()

    def _flight(self, key: Key[Any]) -> asyncio.Task[None]:
        """The read of this object that is under way, begun if need be."""
        if key not in self._flights:
            self._flights[key] = flight = asyncio.create_task(self._fly(key))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return self._flights[key]

    def _landed(self, key: Key[Any], flight: asyncio.Task[None]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            # Looked at, so that asyncio does not report an error nobody waited for.
            flight.exception()

    async def _fly(self, key: Key[Any]) -> None:
        asked = self._clock()
        substitute = self._substitute(key, asked)
        try:
            value = await self._answer(key, asked, again=() if substitute else self._limits.again)
        except LookupFailed:
            if substitute is None:
                raise
            value, found = substitute
            self._keep(key, value, asked, self._limits.not_found, found=found)
        else:
            self._keep(key, value, asked, self._limits.not_found if value is None else self._limits.found)

    def _substitute(self, key: Key[Any], now: float) -> tuple[Any, float] | None:
        """What is believed when the cluster does not answer, and since when: what was last known, not too long ago."""
        known = self._entries.get(key)
        if known is not None and known.value is not None and now - known.found < self._limits.stale:
            return known.value, known.found
        return (key.kind.unknown, now) if key.kind.unknown is not None else None

    async def _answer(self, key: Key[Any], asked: float, again: tuple[float, ...]) -> Any:
        """What the cluster says; `again` are the seconds to wait before each further attempt."""
        for wait in again:
            try:
                return await self._in_thread(key, asked)
            except Unanswered:
                await asyncio.sleep(wait)
        return await self._in_thread(key, asked)

    async def _in_thread(self, key: Key[Any], asked: float) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, key, asked)

    def _read(self, key: Key[Any], asked: float) -> Any:
        waited = self._clock() - asked
        if waited > self._limits.budget:
            # Nobody waits any more, and others do: the API server was slow for a while.
            raise LookupFailed(f"the storage webhook was too busy to read {key}: try again")
        self._metrics.read(key.kind.name)
        return self._ask(key, self._limits.answer)

    def _keep(self, key: Key[Any], value: Any, asked: float, seconds: float, found: float | None = None) -> None:
        jitter = random.uniform(1 - self._limits.jitter, 1 + self._limits.jitter)  # noqa: S311 - no secret
        now = self._clock()
        if len(self._entries) >= self._limits.entries and key not in self._entries:
            self._make_room(now)
        self._entries[key] = _Entry(value, asked, now + seconds * jitter, asked if found is None else found)

    def _make_room(self, now: float) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if entry.expires > now}
        while len(self._entries) >= self._limits.entries:
            self._entries.pop(next(iter(self._entries)))
