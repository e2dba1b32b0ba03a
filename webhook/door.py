"""The door: lets connections in, as many as the process can bear, and none that dawdles on the threshold.

A connection takes some 50 KB before a byte of it is read: ten thousand of them, which anybody in the cluster's network
can open, would take more memory than the container has. asyncio's own servers accept without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

log = structlog.get_logger()

HANDSHAKE_SECONDS = 10
"""For the TLS handshake; the API server gives its whole request no more, unless told to."""

# Connections that are accepted in one go, before others are served.
_AT_ONCE = 50
# Seconds until the next attempt, when the process has no file descriptor left.
_OUT_OF_DESCRIPTORS_SECONDS = 0.1
# File descriptors for everything that is not a client's connection.
_OTHER_DESCRIPTORS = 64


Handshake = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]


class Visitor(asyncio.Protocol, ABC):
    """A connection as the door sees it."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a whole request was received and is being answered."""

    @abstractmethod
    def turn_out(self) -> None:
        """End the connection at once, if its handshake is done."""

    @abstractmethod
    def shutdown(self) -> None:
        """Close when idle; what is being answered is still answered."""


class Door:
    """Listens, and closes connections that are too many: strangers first, then guests; who was silent longest.

    Strangers have not been answered yet: API servers are such for milliseconds. uvicorn takes a door for one of its
    servers.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext,
        limit: int,
        visitor: Callable[[Door], Visitor],
        turned_out: Callable[[], None] = lambda: None,
    ) -> None:
        """`visitor` makes a new connection's protocol; `turned_out` is called for each that must make room.

        At most `limit` connections are open at once.
        """
        self._listening = listening
        self._tls = tls
        self._limit = min(limit, _descriptors() - _OTHER_DESCRIPTORS)
        self._visitor = visitor
        self._turned_out = turned_out
        self._loop = asyncio.get_running_loop()
        self._strangers: dict[Visitor, Handshake] = {}
        self._guests: dict[Visitor, None] = {}
        self._closing = False
        self._open()

    def answered(self, visitor: Visitor) -> None:
        """Who was answered is a guest, and the one heard of last."""
        self._strangers.pop(visitor, None)
        self._guests.pop(visitor, None)
        self._guests[visitor] = None

    def left(self, visitor: Visitor) -> None:
        """The connection is closed."""
        self._strangers.pop(visitor, None)
        self._guests.pop(visitor, None)

    def close(self) -> None:
        """Let nobody in any more."""
        self._closing = True
        self._loop.remove_reader(self._listening)
        self._listening.close()

    async def wait_closed(self) -> None:
        """Turn out whoever still stands on the threshold."""
        for handshake in list(self._strangers.values()):
            handshake.cancel()

    def _open(self) -> None:
        if not self._closing:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("no connection can be accepted for now", reason=error.strerror)
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_OUT_OF_DESCRIPTORS_SECONDS, self._open)
                return
            self._let_in(accepted)

    def _let_in(self, accepted: socket.socket) -> None:
        if len(self._strangers) + len(self._guests) >= self._limit and not self._make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        visitor = self._visitor(self)
        handshake = self._loop.create_task(
            self._loop.connect_accepted_socket(
                lambda: visitor, accepted, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        )
        self._strangers[visitor] = handshake
        handshake.add_done_callback(lambda _: self._shook_hands(visitor, accepted, handshake))

    def _shook_hands(self, visitor: Visitor, accepted: socket.socket, handshake: Handshake) -> None:
        if handshake.cancelled() or handshake.exception():
            # Whoever does not speak TLS, or not in time, is of no interest.
            accepted.close()
            self.left(visitor)
        elif self._closing:
            visitor.shutdown()

    def _make_room(self) -> bool:
        """End the connection that can best be spared. False when all are busy."""
        for visitors in (self._strangers, self._guests):
            for visitor in visitors:
                if not visitor.is_busy():
                    if handshake := self._strangers.get(visitor):
                        handshake.cancel()
                    self.left(visitor)
                    visitor.turn_out()
                    self._turned_out()
                    return True
        return False


def _descriptors() -> int:
    """How many file descriptors the process may have, after it was allowed as many as it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 2**20
