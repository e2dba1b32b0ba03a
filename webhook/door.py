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
from typing import Any

import structlog

log = structlog.get_logger()

HANDSHAKE_SECONDS = 10
"""For the TLS handshake; the API server gives its whole request no more, unless told to."""

LAST_CALL_SECONDS = 5
"""For who was let in and has not asked for anything yet, once nobody is let in any more."""

BACKLOG = 2048
"""Connections that the kernel keeps until they are accepted."""

# Seconds until the next attempt, when the process has no file descriptor left.
_OUT_OF_DESCRIPTORS_SECONDS = 0.1
# File descriptors for everything that is not a client's connection.
_OTHER_DESCRIPTORS = 64


Handshake = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]


class Visitor(asyncio.Protocol, ABC):
    """What speaks on a connection once it has come in."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a whole request was received and is being answered."""

    @abstractmethod
    def turn_out(self) -> None:
        """End the connection at once."""

    @abstractmethod
    def shutdown(self) -> None:
        """Close when idle; what is being asked or answered, and a first request, are still answered."""

    @abstractmethod
    def last_call(self) -> None:
        """Close when nothing was asked yet."""


class Visit(asyncio.Protocol):
    """One connection, from its acceptance on. The visitor, which costs more, is made after the handshake."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.visitor: Visitor | None = None
        self.handshake: Handshake | None = None

    def connection_made(self, transport: Any) -> None:
        self.visitor = self._door.visitor(self)
        transport.set_protocol(self.visitor)
        self.visitor.connection_made(transport)

    def answered(self) -> None:
        """The visitor got an answer."""
        self._door.answered(self)

    def ended(self) -> None:
        """The connection is closed. Two that know each other would wait for the garbage collector."""
        self.visitor = None
        self._door.ended(self)

    def is_busy(self) -> bool:
        return self.visitor is not None and self.visitor.is_busy()

    def shutdown(self) -> None:
        if self.visitor is not None:
            self.visitor.shutdown()

    def last_call(self) -> None:
        if self.visitor is not None:
            self.visitor.last_call()
        elif self.handshake is not None:
            self.handshake.cancel()

    def turn_out(self) -> None:
        if self.visitor is not None:
            self.visitor.turn_out()
        elif self.handshake is not None:
            self.handshake.cancel()


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
        visitor: Callable[[Visit], Visitor],
        turned_out: Callable[[], None] = lambda: None,
    ) -> None:
        """`visitor` makes what speaks on a connection; `turned_out` is called for each that must make room.

        At most `limit` connections are open at once.
        """
        self.visitor = visitor
        self._listening = listening
        self._tls = tls
        self._limit = min(limit, _descriptors() - _OTHER_DESCRIPTORS)
        self._turned_out = turned_out
        self._loop = asyncio.get_running_loop()
        self._strangers: dict[Visit, None] = {}
        self._guests: dict[Visit, None] = {}
        self._closing = False
        self._open()

    def answered(self, visit: Visit) -> None:
        """Who was answered is a guest, and the one heard of last."""
        self.ended(visit)
        self._guests[visit] = None
        if self._closing:
            visit.shutdown()

    def ended(self, visit: Visit) -> None:
        """The connection is closed."""
        self._strangers.pop(visit, None)
        self._guests.pop(visit, None)

    def close(self) -> None:
        """Let in who has come, and nobody any more. Each of them was sent here with a request."""
        self._closing = True
        self._loop.remove_reader(self._listening)
        for _ in range(BACKLOG):
            if not self._accept():
                break
        self._listening.close()
        self._loop.call_later(LAST_CALL_SECONDS, self._last_call)

    async def wait_closed(self) -> None:
        """Wait until all have left."""
        while self._strangers or self._guests:
            await asyncio.sleep(0.05)

    def _last_call(self) -> None:
        for visit in list(self._strangers):
            visit.last_call()

    def _open(self) -> None:
        if not self._closing:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> bool:
        """Accept one connection, if one has come. Others are served in between, or a flood would make them wait."""
        try:
            accepted, _ = self._listening.accept()
        except BlockingIOError:
            return False
        except (InterruptedError, ConnectionAbortedError):
            return True
        except OSError as error:
            log.warning("no connection can be accepted for now", reason=error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_OUT_OF_DESCRIPTORS_SECONDS, self._open)
            return False
        if len(self._strangers) + len(self._guests) < self._limit or self._make_room():
            self._let_in(accepted)
        else:
            accepted.close()
        return True

    def _let_in(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        visit = Visit(self)
        self._strangers[visit] = None
        visit.handshake = self._loop.create_task(
            self._loop.connect_accepted_socket(
                lambda: visit, accepted, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        )
        visit.handshake.add_done_callback(lambda handshake: self._shook_hands(visit, accepted, handshake))

    def _shook_hands(self, visit: Visit, accepted: socket.socket, handshake: Handshake) -> None:
        visit.handshake = None
        if handshake.cancelled() or handshake.exception():
            # Whoever does not speak TLS, or not in time, is of no interest.
            accepted.close()
            self.ended(visit)

    def _make_room(self) -> bool:
        """End the connection that can best be spared. False when all are busy."""
        for visits in (self._strangers, self._guests):
            for visit in visits:
                if not visit.is_busy():
                    self.ended(visit)
                    visit.turn_out()
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
