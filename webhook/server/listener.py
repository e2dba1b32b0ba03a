"""TCP listener with a connection limit and a handshake timeout.

A connection takes some 50 KB before a byte of it is read. Anybody in the cluster's network can open ten thousand of
them, which would take more memory than the container has. asyncio's own servers accept without a limit.
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

from webhook.server.open_connections import OpenConnections

log = structlog.get_logger()

HANDSHAKE_TIMEOUT_SECONDS = 10
"""For the TLS handshake. By default the API server allows 10 seconds for its whole request."""

FIRST_REQUEST_TIMEOUT_SECONDS = 5
"""For the first request of a connection, once the listener is closed."""

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted."""

# Seconds until the next attempt, when the process has no file descriptor left.
_DESCRIPTOR_RETRY_SECONDS = 0.1
# File descriptors reserved for everything that is not a client's connection.
_RESERVED_DESCRIPTORS = 64


Handshake = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]


class Connection(asyncio.Protocol, ABC):
    """The protocol of a connection, after its TLS handshake."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a whole request was received and is being answered."""

    @abstractmethod
    def evict(self) -> None:
        """Close at once."""

    @abstractmethod
    def shutdown(self) -> None:
        """Close when idle. A request that is arriving or being answered, and a first request, are still answered."""

    @abstractmethod
    def close_idle(self) -> None:
        """Close if no request has begun to arrive."""


class PendingConnection(asyncio.Protocol):
    """A connection from its acceptance on. Its protocol costs more memory and is made after the TLS handshake."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.connection: Connection | None = None
        self.handshake: Handshake | None = None

    def connection_made(self, transport: Any) -> None:
        self.connection = self._listener.make_connection(self)
        transport.set_protocol(self.connection)
        self.connection.connection_made(transport)

    def on_response(self) -> None:
        """A response was sent."""
        self._listener.on_response(self)

    def on_close(self) -> None:
        """The connection is closed."""
        # Breaks a reference cycle, which would otherwise wait for the garbage collector.
        self.connection = None
        self._listener.on_close(self)

    def is_busy(self) -> bool:
        return self.connection is not None and self.connection.is_busy()

    def shutdown(self) -> None:
        if self.connection is not None:
            self.connection.shutdown()

    def close_idle(self) -> None:
        if self.connection is not None:
            self.connection.close_idle()
        elif self.handshake is not None:
            self.handshake.cancel()

    def evict(self) -> None:
        if self.connection is not None:
            self.connection.evict()
        elif self.handshake is not None:
            self.handshake.cancel()


class Listener:
    """Accepts connections, and evicts one when there are too many, as `OpenConnections` chooses.

    uvicorn uses a listener like one of its own servers.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        limit: int,
        make_connection: Callable[[PendingConnection], Connection],
        on_evict: Callable[[], None] = lambda: None,
    ) -> None:
        """`make_connection` makes the protocol of a connection; `on_evict` is called for each eviction.

        At most `limit` connections are open at once. Without `tls` the connections are plain text.
        """
        self.make_connection = make_connection
        self._listening = listening
        self._tls = tls
        self._on_evict = on_evict
        self._loop = asyncio.get_running_loop()
        self._open: OpenConnections[PendingConnection] = OpenConnections(limit)
        self._closing = False
        self._start_accepting()

    def on_response(self, pending: PendingConnection) -> None:
        """A response was sent: the connection counts as established, and as the most recently used."""
        self._open.on_response(pending)
        if self._closing:
            pending.shutdown()

    def on_close(self, pending: PendingConnection) -> None:
        """The connection is closed."""
        self._open.remove(pending)

    def close(self) -> None:
        """Accept what is in the kernel's queue, then close. Each queued connection was opened for a request."""
        self._closing = True
        self._loop.remove_reader(self._listening)
        for _ in range(BACKLOG):
            if not self._accept():
                break
        self._listening.close()
        self._loop.call_later(FIRST_REQUEST_TIMEOUT_SECONDS, self._close_idle)

    async def wait_closed(self) -> None:
        """Wait until all connections are closed."""
        while self._open:
            await asyncio.sleep(0.05)

    def _close_idle(self) -> None:
        for pending in self._open.new:
            pending.close_idle()

    def _start_accepting(self) -> None:
        if not self._closing:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> bool:
        """Accept one connection, if there is one. One at a time, so that a flood does not starve the others."""
        try:
            accepted, _ = self._listening.accept()
        except BlockingIOError:
            return False
        except (InterruptedError, ConnectionAbortedError):
            return True
        except OSError as error:
            log.warning("cannot accept connections", reason=error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_DESCRIPTOR_RETRY_SECONDS, self._start_accepting)
            return False
        if not self._open.is_full or self._evict_one():
            self._start_handshake(accepted)
        else:
            accepted.close()
        return True

    def _start_handshake(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        pending = PendingConnection(self)
        self._open.add(pending)
        timeout = HANDSHAKE_TIMEOUT_SECONDS if self._tls else None
        pending.handshake = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: pending, accepted, ssl=self._tls, ssl_handshake_timeout=timeout)
        )
        pending.handshake.add_done_callback(lambda handshake: self._on_handshake(pending, accepted, handshake))

    def _on_handshake(self, pending: PendingConnection, accepted: socket.socket, handshake: Handshake) -> None:
        pending.handshake = None
        if handshake.cancelled() or handshake.exception():
            # Not logged: anybody can cause a failed handshake.
            accepted.close()
            self.on_close(pending)

    def _evict_one(self) -> bool:
        """Evict a connection. False when all are busy."""
        pending = self._open.next_to_evict()
        if pending is None:
            return False
        self._open.remove(pending)
        pending.evict()
        self._on_evict()
        return True


def connection_limit(wanted: int, reserved: int = 0) -> int:
    """The number of connections that the limit of file descriptors allows, up to `wanted`; at least 1.

    `reserved`: file descriptors that other listeners of this process may use.
    """
    allowed = max(1, _max_descriptors() - _RESERVED_DESCRIPTORS - reserved)
    if allowed < wanted:
        log.warning("the limit of file descriptors allows fewer connections", allowed=allowed, wanted=wanted)
    return min(wanted, allowed)


def _max_descriptors() -> int:
    """The limit of file descriptors of this process, after raising it to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 2**20
