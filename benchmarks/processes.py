"""Server processes to measure, and their CPU and memory."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import trustme

from benchmarks.load import HOST, Target

START_SECONDS = 60


class Server:
    """A server process. `start_up`: seconds from its start to the first connection."""

    def __init__(self, process: psutil.Popen, target: Target, start_up: float) -> None:
        self._process = process
        self.target = target
        self.start_up = start_up

    def cpu(self) -> Any:
        """User and system CPU seconds used so far, as `user` and `system`."""
        return self._process.cpu_times()

    def memory(self) -> int:
        """Resident memory in bytes."""
        return int(self._process.memory_info().rss)


def issue(directory: Path) -> tuple[Path, Path, Path]:
    """Write a serving certificate (ECDSA P-256), its key and its CA, and return their paths."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = ca.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    paths = directory / "tls.crt", directory / "tls.key", directory / "ca.crt"
    for path, pem in zip(paths, (issued.cert_chain_pems[0], issued.private_key_pem, ca.cert_pem), strict=True):
        path.write_bytes(pem.bytes())
    return paths


@contextlib.contextmanager
def bare(files: tuple[Path, Path, Path]) -> Iterator[Server]:
    """The bare ASGI app."""
    certificate, key, ca = files
    port = _free_port()
    with _running(["-m", "benchmarks.bare", str(port), str(certificate), str(key)], Target(port, ca)) as server:
        yield server


@contextlib.contextmanager
def webhook(files: tuple[Path, Path, Path], manifests: list[dict[str, Any]]) -> Iterator[Server]:
    """The webhook as in a pod: JSON log, metrics, and a cluster that contains `manifests`."""
    certificate, key, ca = files
    port = _free_port()
    options = ["--host", HOST, "--port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--cluster", "--metrics-port", str(_free_port())]
    with _cluster(manifests, certificate, key) as cluster_port:
        environment = {"KUBERNETES_SERVICE_HOST": HOST, "KUBERNETES_SERVICE_PORT": str(cluster_port)}
        command = ["-m", "webhook", "serve", *options]
        with _running(command, Target(port, ca), environment, prefix=[*_WITH_ACCOUNT, str(ca)]) as server:
            yield server


# Runs a command where a pod has its service account, in a mount namespace of its own.
_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
_MOUNT = f"mount -t tmpfs none /run && mkdir -p {_ACCOUNT} && cp $0 {_ACCOUNT}/ca.crt && printf token >{_ACCOUNT}/token"
_WITH_ACCOUNT = ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{_MOUNT} && exec "$@"']


def command_seconds(*arguments: str, times: int = 5) -> float:
    """The shortest wall time of several runs of a Python command."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        nowhere = subprocess.DEVNULL
        subprocess.run([sys.executable, *arguments], check=True, stdout=nowhere, stderr=nowhere)
        took.append(time.perf_counter() - began)
    return min(took)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _running(
    arguments: list[str], target: Target, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Server]:
    began = time.perf_counter()
    command = [*prefix, sys.executable, *arguments]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    try:
        _await_port(process, target.port)
        yield Server(process, target, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(40)


def _await_port(process: psutil.Popen, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server exited with code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.005)
    raise RuntimeError("the server did not start")


@contextlib.contextmanager
def _cluster(manifests: list[dict[str, Any]], certificate: Path, key: Path) -> Iterator[int]:
    """Serve manifests by their API paths, and yield the port. The webhook's cache allows few reads."""
    objects = {_path(manifest): manifest for manifest in manifests}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = objects.get("/".join(self.path.split("/")[-2:]))
            body = json.dumps(found or {"kind": "Status", "status": "Failure", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _path(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind'].lower()}s/{manifest['metadata']['name']}"
