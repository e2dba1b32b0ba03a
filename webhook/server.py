"""The server: uvicorn over TLS, made for the API server's habits, and its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.certs.serving import CertificateError, CertificateFiles
from webhook.context import Webhook
from webhook.door import BACKLOG, Door, Visit, Visitor
from webhook.endpoint import CLIENT_VERIFIED

log = structlog.get_logger()

# Seconds. The API server keeps an idle connection for 90: a server that closes first turns into refused admissions,
# because a POST that meets a closing connection is not sent again.
KEEP_ALIVE_SECONDS = 120
# Seconds from the first byte of a request to its last.
REQUEST_SECONDS = 10
MAX_HEADER_BYTES = 64 * 1024
# Seconds that requests in flight get when the server stops: the API server's longest webhook timeout.
SHUTDOWN_SECONDS = 30
# Seconds that a client gets to take its leave when the server closes an idle connection.
GOODBYE_SECONDS = 1
# Garbage is collected seldom: neither a request nor a closed connection leaves any, and with a thousand connections
# open looking for it stops the server for 20 ms.
_GC_THRESHOLDS = (10_000, 100, 100)
# Seconds between two looks at the certificate files.
CERTIFICATE_POLL_SECONDS = 10


class CannotListen(Exception):
    """The address cannot be listened on; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where and how to serve.

    `drain_seconds`: how long requests are still taken after SIGTERM. `max_connections`: open at once.
    """

    host: str
    port: int
    tls: ssl.SSLContext
    drain_seconds: float = 0
    certificate: CertificateFiles | None = None
    max_connections: int = 1000


class Connection(HttpToolsProtocol, Visitor):
    """One connection: tells the routes whether the client is verified, and cuts slow and endless senders off.

    uvicorn leaves a client that never begins a request, or never ends one, alone for good. Nearly every request
    arrives in one piece, and costs next to nothing here. While no request is being answered, what arrives is a
    header; once uvicorn has one, its cycle says whether more of the body is to come.
    """

    def __init__(self, visit: Visit, **options: Any) -> None:
        super().__init__(**options)
        self._visit = visit

    def connection_made(self, transport: Any) -> None:
        self._answers = _WholeAnswers(transport, self)
        super().connection_made(self._answers)  # type: ignore[arg-type]
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {CLIENT_VERIFIED: bool(tls and tls.getpeercert())}
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._unset_deadline()
        self._visit.ended()
        super().connection_lost(exc)
        self._answers.forget()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_idle():
            self._await_the_rest(header_bytes=len(data))
        elif self.cycle.more_body:
            self._await_the_rest()
        elif self._deadline is not None:
            self._unset_deadline()

    def on_response_complete(self) -> None:
        self._answers.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._leave()
        else:
            self._visit.answered()

    def is_busy(self) -> bool:
        return not self._is_idle() and self._deadline is None

    def turn_out(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """Close when idle. A request on its way in is still answered, and the first one of who has not asked yet."""
        if self._deadline is not None or self.cycle is None:
            return
        super().shutdown()
        if self._is_idle():
            self._leave()

    def last_call(self) -> None:
        if self._deadline is None and self.cycle is None:
            self.transport.close()
            self._leave()

    def _leave(self) -> None:
        # A client that does not say goodbye in TLS would hold the connection, and the server's end, for half a minute.
        self.loop.call_later(GOODBYE_SECONDS, self.transport.abort)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_the_rest(self, header_bytes: int = 0) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
        self._header_bytes += header_bytes
        if self._header_bytes > MAX_HEADER_BYTES:
            self.transport.abort()

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._header_bytes = 0


class _WholeAnswers:
    """A connection's transport that sends the header of an answer with its body: one TLS record, one system call."""

    def __init__(self, transport: Any, connection: Connection) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self._held: list[bytes] = []
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send, or keep until `flush` when it belongs to an answer that is not complete."""
        self._held.append(data)
        cycle = self._connection.cycle if self._connection else None
        if cycle is None or not cycle.response_started or cycle.response_complete:
            self.flush()

    def flush(self) -> None:
        """Send what was kept."""
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()

    def forget(self) -> None:
        """The connection is lost. Two that know each other would wait for the garbage collector, which comes seldom."""
        self._connection = None
        self._held.clear()

    def close(self) -> None:
        """Send what was kept, and close."""
        self.flush()
        self._transport.close()


class Server(uvicorn.Server):
    """uvicorn's server with an end that loses no request."""

    def __init__(self, app: FastAPI, webhook: Webhook, listener: Listener, started: Callable[[Server], None]) -> None:
        super().__init__(_configure(app))
        self.address = (listener.host, listener.port)
        """Host and port that are listened on."""
        self._webhook = webhook
        self._drain_seconds = listener.drain_seconds
        self._tls = listener.tls
        self._max_connections = listener.max_connections
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and say so."""
        await super().startup(sockets=[])
        for listening in sockets or ():
            self.address = listening.getsockname()[:2]
            turned_out = self._webhook.metrics.connection_turned_out
            door = Door(listening, self._tls, self._max_connections, self._connection, turned_out)
            self.servers.append(door)  # type: ignore[arg-type]
        log.info("serving", address=self.url, settings=self._webhook.settings.name)
        self._on_start(self)

    def _connection(self, visit: Visit) -> Connection:
        return Connection(visit, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @property
    def url(self) -> str:
        host, port = self.address
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT begin the drain; under uvicorn's own handling the process would die of the signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        signals = signal.SIGTERM, signal.SIGINT
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Begin to stop: not ready at once, no new connections after the drain, exit when all is answered.

        Called again, it ends the drain.
        """
        if self._webhook.draining:
            self.should_exit = True
            return
        log.info("stopping", drain_seconds=self._drain_seconds)
        self._webhook.draining = True
        asyncio.get_running_loop().call_later(self._drain_seconds, self.stop)


async def serve(
    app: FastAPI, webhook: Webhook, listener: Listener, *, started: Callable[[Server], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT; `started` is called once connections are taken.

    Raises SettingsError when the first settings are wrong, CannotListen when the address cannot be used.
    """
    await webhook.settings.start()
    try:
        with _listen(listener.host, listener.port) as listening:
            async with _following(listener.certificate):
                _freeze()
                await Server(app, webhook, listener, started).serve([listening])
    finally:
        await webhook.settings.stop()
    log.info("stopped")


def _configure(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        ws="none",
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def _freeze() -> None:
    # What start-up made stays: a full collection over the Kubernetes client's classes would pause for 20 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


@contextlib.asynccontextmanager
async def _following(certificate: CertificateFiles | None) -> AsyncIterator[None]:
    """Reload the certificate whenever its files change."""
    if certificate is None:
        yield
        return
    task = asyncio.create_task(_follow(certificate))
    try:
        yield
    finally:
        task.cancel()


async def _follow(certificate: CertificateFiles) -> None:
    refused = ""
    while True:
        await asyncio.sleep(CERTIFICATE_POLL_SECONDS)
        reason = _reload(certificate)
        # Tried again at every look, since a certificate may become valid by the clock alone; said once.
        if reason and reason != refused:
            log.warning("certificate refused, the one before stays", reason=reason)
        refused = reason


def _reload(certificate: CertificateFiles) -> str:
    """Reload the certificate if it changed; why it could not be, or ""."""
    try:
        if certificate.reload():
            log.info("certificate reloaded")
    except CertificateError as error:
        return str(error)
    except Exception as error:
        # Whatever it is, following must go on: the next certificate is the one that counts.
        return repr(error)
    return ""
