"""The server: uvicorn over TLS, tuned for API servers as clients, with a shutdown that loses no request."""

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

import structlog
import uvicorn
from fastapi import FastAPI

from webhook.certificates.tls import CertificateError, CertificateFiles
from webhook.server.connection import HttpConnection
from webhook.server.context import Webhook
from webhook.server.listener import BACKLOG, Listener, PendingConnection, connection_limit
from webhook.server.metrics_endpoint import MetricsEndpoint

log = structlog.get_logger()

# Seconds. The API server keeps an idle connection for 90 seconds. It does not retry a POST that meets a closing
# connection, so a server that closes first causes failed admissions.
KEEP_ALIVE_TIMEOUT_SECONDS = 120
# Seconds for requests in flight when the server stops: the API server's longest webhook timeout.
SHUTDOWN_TIMEOUT_SECONDS = 30
# Collect garbage rarely: requests and closed connections leave none, and a collection with a thousand open connections
# pauses the server for 20 ms.
_GC_THRESHOLDS = (10_000, 100, 100)
# Prometheus keeps one connection open for each of its replicas.
MAX_METRICS_CONNECTIONS = 32
# Seconds between two checks of the certificate files.
CERTIFICATE_POLL_SECONDS = 10


class CannotListen(Exception):
    """The server cannot listen on the address; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how to serve.

    `drain_seconds`: how long the server accepts requests after SIGTERM. `max_connections`: open at once.
    `metrics_port`: port of /metrics; 0: none. `metrics_tls`: with `tls` too, instead of in plain text.
    """

    host: str
    port: int
    tls: ssl.SSLContext
    drain_seconds: float = 0
    certificate: CertificateFiles | None = None
    max_connections: int = 1000
    metrics_port: int = 0
    metrics_tls: bool = False


class Server(uvicorn.Server):
    """uvicorn's server with a shutdown that loses no request."""

    def __init__(
        self, app: FastAPI, webhook: Webhook, listener: ListenOptions, started: Callable[[Server], None]
    ) -> None:
        super().__init__(_configure(app))
        self.address = (listener.host, listener.port)
        """Host and port that the server listens on."""
        self._webhook = webhook
        self._options = listener
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and call `started`. The second socket, if there is one, is for metrics."""
        await super().startup(sockets=[])
        for listening, listen in zip(sockets or (), (self._listen, self._listen_for_metrics), strict=False):
            self.servers.append(listen(listening))  # type: ignore[arg-type]
        log.info("serving", address=self.url, settings=self._webhook.settings.name)
        self._on_start(self)

    def _listen(self, listening: socket.socket) -> Listener:
        self.address = listening.getsockname()[:2]
        reserved = MAX_METRICS_CONNECTIONS if self._options.metrics_port else 0
        limit = connection_limit(self._options.max_connections, reserved)
        on_evict = self._webhook.metrics.on_evicted_connection
        return Listener(listening, self._options.tls, limit, self._connections(self.config), on_evict)

    def _listen_for_metrics(self, listening: socket.socket) -> Listener:
        config = _configure(MetricsEndpoint(self._webhook.metrics.registry))
        tls = self._options.tls if self._options.metrics_tls else None
        return Listener(listening, tls, MAX_METRICS_CONNECTIONS, self._connections(config))

    def _connections(self, config: uvicorn.Config) -> Callable[[PendingConnection], HttpConnection]:
        """A function that makes connections to the application of this configuration."""
        return lambda pending: HttpConnection(
            pending, config=config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @property
    def url(self) -> str:
        host, port = self.address
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Start the drain on SIGTERM and SIGINT. With uvicorn's own handling the process would end by the signal."""
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
        """Start to stop: not ready at once, no new connections after the drain, exit when all requests are answered.

        A second call ends the drain.
        """
        if self._webhook.draining:
            self.should_exit = True
            return
        log.info("stopping", drain_seconds=self._options.drain_seconds)
        self._webhook.draining = True
        asyncio.get_running_loop().call_later(self._options.drain_seconds, self.stop)


async def serve(
    app: FastAPI, webhook: Webhook, listener: ListenOptions, *, started: Callable[[Server], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT; `started` is called once the server accepts connections.

    Raises SettingsError when the first settings are invalid, CannotListen when an address cannot be used.
    """
    await webhook.settings.start()
    try:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(_listen(listener.host, listener.port))]
            if listener.metrics_port:
                sockets.append(stack.enter_context(_listen(listener.host, listener.metrics_port, ", for metrics")))
            async with _watching(listener.certificate):
                _freeze()
                await Server(app, webhook, listener, started).serve(sockets)
    finally:
        await webhook.settings.stop()
    log.info("stopped")


def _configure(app: FastAPI | MetricsEndpoint) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        ws="none",
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )


def _listen(host: str, port: int, purpose: str = "") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}, port {port}{purpose}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def _freeze() -> None:
    # Objects from start-up stay alive: a full collection over the Kubernetes client's classes would pause for 20 ms.
    # The little garbage among them is not worth one.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


@contextlib.asynccontextmanager
async def _watching(certificate: CertificateFiles | None) -> AsyncIterator[None]:
    """Reload the certificate whenever its files change."""
    if certificate is None:
        yield
        return
    task = asyncio.create_task(_watch(certificate))
    try:
        yield
    finally:
        task.cancel()


async def _watch(certificate: CertificateFiles) -> None:
    last_reason = ""
    while True:
        await asyncio.sleep(CERTIFICATE_POLL_SECONDS)
        reason = _reload(certificate)
        # Retried at every check, because a certificate may become valid by the clock alone; logged once.
        if reason and reason != last_reason:
            log.warning("certificate rejected, the previous one stays in use", reason=reason)
        last_reason = reason


def _reload(certificate: CertificateFiles) -> str:
    """Reload the certificate if it changed. Returns why it could not be loaded, or ""."""
    try:
        if certificate.reload():
            log.info("certificate reloaded")
    except CertificateError as error:
        return str(error)
    except Exception as error:
        # Whatever the error is, the watch must go on: the next certificate may be good.
        return repr(error)
    return ""
