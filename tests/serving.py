"""The webhook over HTTPS in a thread of the test process, and clients for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme
import uvloop

from webhook.certificates import tls
from webhook.cluster.facts import NoCluster
from webhook.server.app import create_app
from webhook.server.context import Webhook
from webhook.server.server import ListenOptions, Server, serve
from webhook.settings.source import LiveSettings, SettingsSource

HOST = "127.0.0.1"


class GivenSettings(LiveSettings):
    """Settings with these `storageDefaults`; not loaded when they are None."""

    def __init__(self, defaults: Mapping[str, Any] | None) -> None:
        super().__init__("given")
        self._defaults = defaults

    async def start(self) -> None:
        if self._defaults is not None:
            self.update({"storageDefaults": self._defaults}, "first")

    async def stop(self) -> None:
        return


@dataclass(slots=True)
class Authority:
    """A certificate authority for tests."""

    ca: trustme.CA

    def issue(self, directory: Path, **options: Any) -> tuple[Path, Path]:
        """Write a certificate for 127.0.0.1 and its key; returns their paths."""
        issued = self.ca.issue_cert(HOST, "localhost", key_type=trustme.KeyType.ECDSA, **options)
        certificate, key = directory / "tls.crt", directory / "tls.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    @property
    def pem(self) -> bytes:
        """The certificate of the authority."""
        return self.ca.cert_pem.bytes()

    def client_context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """A context that trusts this authority, with an optional client certificate."""
        # Loading the system's authorities would take longer than a request.
        context = ssl.create_default_context(cadata=self.pem.decode())
        if client:
            context.load_cert_chain(*client)
        return context


class Running:
    """A server that runs until `stop`."""

    def __init__(self, webhook: Webhook, listener: ListenOptions, authority: Authority, *, page: bool = False) -> None:
        self.webhook = webhook
        self.authority = authority
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._server: Server
        app = create_app(webhook, page=page)
        self._thread = threading.Thread(
            target=lambda: uvloop.run(serve(app, webhook, listener, started=self._on_start)), daemon=True
        )
        self._thread.start()
        assert self._started.wait(10), "the server did not start"

    def _on_start(self, server: Server) -> None:
        self._server, self._loop = server, asyncio.get_running_loop()
        self._started.set()

    @property
    def port(self) -> int:
        return self._server.address[1]

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def responses(self) -> int:
        """The number of responses that were written."""
        return self._server.server_state.total_requests

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def begin_to_stop(self) -> None:
        """Begin the shutdown, like SIGTERM."""
        self._loop.call_soon_threadsafe(self._server.stop)

    def stop(self) -> None:
        """Stop, and wait until the server has stopped."""
        if self.alive:
            self.begin_to_stop()
        self._thread.join(20)
        assert not self.alive, "the server did not stop"

    def client(self, certificate: tuple[Path, Path] | None = None) -> httpx.Client:
        """An HTTPS client that trusts the server."""
        return httpx.Client(base_url=self.url, verify=self.authority.client_context(certificate), timeout=20)

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection, for data that an HTTP client would not send."""
        plain = socket.create_connection((HOST, self.port), timeout=20)
        return self.authority.client_context().wrap_socket(plain, server_hostname=HOST)


@contextlib.contextmanager
def serving(
    authority: Authority,
    directory: Path,
    *,
    files: tuple[Path, Path] | None = None,
    settings: SettingsSource | None = None,
    client_ca: Path | None = None,
    page: bool = False,
    drain_seconds: float = 0,
    max_connections: int = 1000,
    metrics_port: int = 0,
    metrics_tls: bool = False,
    **bound: Any,
) -> Iterator[Running]:
    """A running server. Its certificate is written to `directory` unless `files` are given; `bound`: for `Webhook`."""
    context = tls.server_context(client_ca)
    certificate = tls.CertificateFiles(context, *(files or authority.issue(directory)))
    bound = {"settings": settings or GivenSettings({}), "facts": NoCluster(), **bound}
    webhook = Webhook(client_certificates=client_ca is not None, **bound)
    listener = ListenOptions(HOST, 0, context, drain_seconds, certificate, max_connections, metrics_port, metrics_tls)
    running = Running(webhook, listener, authority, page=page)
    try:
        yield running
    finally:
        running.stop()


def free_port() -> int:
    """A TCP port that no server listens on."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
        return port


def pod(**annotations: str) -> dict[str, Any]:
    """A plain pod; `uri="…"` sets annotation storage.kserve.io/uri; `_` in names becomes `-`."""
    named = {f"storage.kserve.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "iris", "namespace": "models", "annotations": named},
        "spec": {"containers": [{"name": "server", "image": "registry.example.com/server:1"}]},
    }


def review(pod: Any, **request: Any) -> dict[str, Any]:
    """An AdmissionReview for the creation of a pod; `request` overrides fields of the request."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "8a7e-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "models",
            "operation": "CREATE",
            "userInfo": {"username": "system:admin"},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            **request,
        },
    }


def response_of(http_response: httpx.Response) -> dict[str, Any]:
    """The AdmissionResponse in an HTTP response, with its patch decoded."""
    assert http_response.status_code == 200, http_response.text
    assert http_response.headers["content-type"] == "application/json"
    response: dict[str, Any] = http_response.json()["response"]
    if "patch" in response:
        assert response["patchType"] == "JSONPatch"
        response["patch"] = json.loads(base64.b64decode(response["patch"]))
    return response


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.005)
