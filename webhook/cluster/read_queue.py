"""Runs blocking reads on threads, so that no namespace keeps the others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar

from webhook.errors import LookupFailed, quoted

T = TypeVar("T")


class _Part:
    """A namespace's part: the reads that may run or wait for a thread, and the number of all its reads."""

    def __init__(self, reads: int) -> None:
        self.turns = asyncio.Semaphore(reads)
        self.reads = 0


MAX_CONFIRMED = 10_000
"""The number of namespaces that are known to exist."""


class ReadQueue:
    """A queue of reads for a few threads. Each namespace has a queue of its own, and the namespaces take turns.

    Only `per_namespace` reads of a namespace run or wait for a thread. A read therefore waits at most for so many
    reads of each other namespace, however many these want. All namespaces in which no object was found yet have
    only `unconfirmed` threads together, because a caller can invent any number of them.

    Must be used on one event loop at a time.
    """

    def __init__(self, threads: int, per_namespace: int, unconfirmed: int, waiting: int) -> None:
        """`threads` reads run at the same time, and at most `waiting` of one namespace run or wait.

        `unconfirmed` is less than `threads`, so that a namespace that exists finds one, and more than `per_namespace`.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lookup")
        self._per_namespace = per_namespace
        self._waiting = waiting
        self._parts: dict[str, _Part] = {}
        self._unconfirmed = asyncio.Semaphore(unconfirmed)
        self._confirmed = {""}

    def confirm(self, namespace: str) -> None:
        """Take note that an object was found in this namespace, so that it exists."""
        if len(self._confirmed) > MAX_CONFIRMED:
            # Namespaces come and go. Those that still exist are confirmed again.
            self._confirmed = {""}
        self._confirmed.add(namespace)

    async def run(self, namespace: str, read: Callable[[], T]) -> T:
        """Call `read` on a thread when it is the namespace's turn; "" stands for reads without a namespace.

        Raises LookupFailed at once when too many reads of this namespace wait, and whatever `read` raises.
        """
        part = self._parts.get(namespace) or self._parts.setdefault(namespace, _Part(self._per_namespace))
        if part.reads >= self._waiting:
            raise LookupFailed(_too_many(namespace))
        part.reads += 1
        try:
            async with part.turns, self._turn_of_unconfirmed(namespace):
                return await asyncio.get_running_loop().run_in_executor(self._pool, read)
        finally:
            part.reads -= 1
            if not part.reads:
                del self._parts[namespace]

    def _turn_of_unconfirmed(self, namespace: str) -> AbstractAsyncContextManager[None]:
        return nullcontext() if namespace in self._confirmed else self._unconfirmed


def _too_many(namespace: str) -> str:
    where = f"in namespace {quoted(namespace)}" if namespace else "in the cluster"
    return f"the storage webhook has too many reads to do {where}: try again"
