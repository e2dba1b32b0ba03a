"""The webhook over real HTTPS, in a thread of the test process, and clients for it."""

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

from webhook.app import create_app
from webhook.certs import serving as certs
from webhook.context import Webhook
from webhook.facts import NoCluster
from webhook.server import Listener, Server, serve
from webhook.settings.source import LiveSettings

HOST = "127.0.0.1"


class GivenSettings(LiveSettings):
    """Settings of a test: `storageDefaults` over the defaults; none yet when they are None."""

    def __init__(self, defaults: Mapping[str, Any] | None) -> None:
        super().__init__("given")
        self._defaults = defaults

    async def start(self) -> None:
        if self._defaults is not None:
            self.offer({"storageDefaults": self._defaults}, "first")

    async def stop(self) -> None:
        return


@dataclass(slots=True)
class Authority:
    """A certificate authority of the tests."""

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
        """Its certificate."""
        return self.ca.cert_pem.bytes()

    def client_context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client of this authority's servers trusts, and the certificate it shows."""
        # The authority alone: the system's own take longer to read than a request.
        context = ssl.create_default_context(cadata=self.pem.decode())
        if client:
            context.load_cert_chain(*client)
        return context


class Running:
    """A server that runs until `stop`."""

    def __init__(self, webhook: Webhook, listener: Listener, authority: Authority, *, docs: bool = False) -> None:
        self.webhook = webhook
        self.authority = authority
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._server: Server
        app = create_app(webhook, docs=docs)
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
    def alive(self) -> bool:
        return self._thread.is_alive()

    def begin_to_stop(self) -> None:
        """What SIGTERM does."""
        self._loop.call_soon_threadsafe(self._server.stop)

    def stop(self) -> None:
        """Stop, and wait for the end."""
        if self.alive:
            self.begin_to_stop()
        self._thread.join(20)
        assert not self.alive, "the server did not stop"

    def client(self, certificate: tuple[Path, Path] | None = None) -> httpx.Client:
        """An HTTPS client that trusts the server."""
        return httpx.Client(base_url=self.url, verify=self.authority.client_context(certificate), timeout=20)

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection, for what no HTTP client would send."""
        plain = socket.create_connection((HOST, self.port), timeout=20)
        return self.authority.client_context().wrap_socket(plain, server_hostname=HOST)


@contextlib.contextmanager
def serving(
    authority: Authority,
    directory: Path,
    *,
    files: tuple[Path, Path] | None = None,
    settings: LiveSettings | None = None,
    client_ca: Path | None = None,
    docs: bool = False,
    drain_seconds: float = 0,
    max_connections: int = 1000,
    **bound: Any,
) -> Iterator[Running]:
    """A running server. `directory`: where its certificate goes, unless `files` are one; `bound`: for the routes."""
    context = certs.server_context(client_ca)
    certificate = certs.CertificateFiles(context, *(files or authority.issue(directory)))
    bound = {"settings": settings or GivenSettings({}), "facts": NoCluster(), **bound}
    webhook = Webhook(client_certificates=client_ca is not None, **bound)
    listener = Listener(HOST, 0, context, drain_seconds, certificate, max_connections)
    running = Running(webhook, listener, authority, docs=docs)
    try:
        yield running
    finally:
        running.stop()


def pod(**annotations: str) -> dict[str, Any]:
    """A plain pod; `uri="…"` is its annotation storage.kserve.io/uri, `_` in names is `-`."""
    named = {f"storage.kserve.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "iris", "namespace": "models", "annotations": named},
        "spec": {"containers": [{"name": "server", "image": "registry.example.com/server:1"}]},
    }


def review(pod: Any, **request: Any) -> dict[str, Any]:
    """An AdmissionReview that asks about the creation of a pod; `request` overrides its fields."""
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


def response_of(answer: httpx.Response) -> dict[str, Any]:
    """The admission response in an answer, with its patch decoded."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    response: dict[str, Any] = answer.json()["response"]
    if "patch" in response:
        assert response["patchType"] == "JSONPatch"
        response["patch"] = json.loads(base64.b64decode(response["patch"]))
    return response


def eventually(what: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
