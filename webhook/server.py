"""The server: uvicorn over TLS, made for the API server's habits, and its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httptools
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.app import CLIENT_VERIFIED, Webhook
from webhook.certs import CertificateError, CertificateFiles

log = structlog.get_logger()

# Seconds. The API server keeps an idle connection for 90: a server that closes first turns into refused admissions,
# because a POST that meets a closing connection is not sent again.
KEEP_ALIVE_SECONDS = 120
# Seconds from the first byte of a request, or from the connection's start, to the end of the request's body.
REQUEST_SECONDS = 10
MAX_HEADER_BYTES = 64 * 1024
# Seconds that requests in flight get when the server stops: the API server's longest webhook timeout.
SHUTDOWN_SECONDS = 30
# Seconds between two looks at the certificate files.
CERTIFICATE_POLL_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Listener:
    """Where and how to serve. `drain_seconds`: how long requests are still taken after SIGTERM."""

    host: str
    port: int
    tls: ssl.SSLContext
    drain_seconds: float = 0
    certificate: CertificateFiles | None = None


class Connection(HttpToolsProtocol):
    """One connection: tells the routes whether the client is verified, and cuts slow and endless senders off."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._header_bytes = 0
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._cut_off)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {CLIENT_VERIFIED: bool(tls and tls.getpeercert())}

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._cut_off)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._deadline.cancel()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise httptools.HttpParserError("the request's header is too large")

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server with an end that loses no request."""

    def __init__(self, config: uvicorn.Config, webhook: Webhook, listener: Listener) -> None:
        super().__init__(config)
        self._webhook = webhook
        self._listener = listener

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT begin the drain; under uvicorn's own handling the process would die of the signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    def stop(self) -> None:
        """Begin to stop: not ready at once, no new connections after the drain, exit when all is answered."""
        if self._webhook.draining:
            return
        log.info("stopping", drain_seconds=self._listener.drain_seconds)
        self._webhook.draining = True
        asyncio.get_running_loop().call_later(self._listener.drain_seconds, self._exit)

    def _exit(self) -> None:
        self.should_exit = True


async def serve(app: FastAPI, webhook: Webhook, listener: Listener, *, ready: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is set once connections are taken.

    Raises SettingsError when the first settings are wrong, OSError when the address cannot be used.
    """
    await webhook.settings.start()
    sockets = [_listen(listener.host, listener.port)]
    server = Server(_configure(app, listener), webhook, listener)
    background = [asyncio.create_task(_follow_certificate(listener.certificate))] if listener.certificate else []
    # What start-up made stays: a full collection over the Kubernetes client's classes would pause for 20 ms.
    gc.collect()
    gc.freeze()
    host, port = sockets[0].getsockname()[:2]
    log.info("serving", address=f"https://{host}:{port}", settings=webhook.settings.name)
    if ready is not None:
        asyncio.get_running_loop().call_soon(ready.set)
    try:
        await server.serve(sockets)
    finally:
        for task in background:
            task.cancel()
        await webhook.settings.stop()
    log.info("stopped")


def _configure(app: FastAPI, listener: Listener) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        loop="uvloop",
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda _config, _default: listener.tls,
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
    listening = socket.create_server((host, port), family=family, backlog=2048, reuse_port=False)
    listening.setblocking(False)
    return listening


async def _follow_certificate(certificate: CertificateFiles) -> None:
    while True:
        await asyncio.sleep(CERTIFICATE_POLL_SECONDS)
        try:
            if certificate.reload():
                log.info("certificate reloaded")
        except CertificateError as error:
            log.warning("certificate refused, the one before stays", reason=str(error))
