"""Output of the webhook's process, searched for the values of the Secrets that it reads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.controlplane.plane import ControlPlane
from tests.e2e.test_cluster import create
from tests.planted import PODS, leaks, planted_cluster
from tests.serving import review


def test_no_secret_value_leaves_the_process(control_plane: ControlPlane, tmp_path: Path) -> None:
    namespace = control_plane.namespace(f"secrets-{uuid.uuid4().hex[:8]}")
    create(control_plane, namespace, *planted_cluster()[:-2])
    output = tmp_path / "output"
    with webhook(control_plane, output) as (url, metrics):
        responses = [httpx.post(f"{url}/mutate-pods", json=review(pod, namespace=namespace), **HTTP) for pod in OWNED]
        seen = [response.content for response in responses] + [httpx.get(f"{metrics}/metrics", **HTTP).content]
        seen.append(events_about(control_plane, namespace, b"storage-spec-key"))
    assert sum(b'"allowed":false' in content for content in seen) >= 2, "fewer than two pods were denied"
    log = output.read_bytes()
    assert log.count(b"admission") >= len(OWNED), log.decode()
    assert not any(leaks(each) for each in (*seen, log))


def events_about(plane: ControlPlane, namespace: str, text: bytes) -> bytes:
    """Wait for an Event with this text and return all Events. They are written after the response."""
    for _ in range(100):
        with plane.http() as http:
            events = http.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events").content
        if text in events:
            return events
        time.sleep(0.1)
    raise AssertionError(events.decode())


HTTP = {"verify": False, "trust_env": False, "timeout": 30}

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "iris-5d9", "uid": "0f3c", "controller": True}
# Events are recorded on owners.
OWNED = [{**pod, "metadata": {**pod["metadata"], "ownerReferences": [OWNER]}} for pod in PODS.values()]


@contextmanager
def webhook(plane: ControlPlane, output: Path) -> Iterator[tuple[str, str]]:
    """Run the server with all outputs enabled. Yields its URL and the URL of its metrics."""
    port, metrics_port = free_port(), free_port()
    options = f"--dev --port {port} --metrics-port {metrics_port} --cluster --events --log-level debug"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook", "serve", *options.split()],
            env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"https://127.0.0.1:{port}/readyz")
            yield f"https://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url, **HTTP).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
