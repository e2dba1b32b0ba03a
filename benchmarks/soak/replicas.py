"""Replicas of the webhook as in a cluster: processes with settings from a ConfigMap and self-managed certificates."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubernetes.client import AdmissionregistrationV1Api, CoreV1Api

from tests.chart.rendering import one, render
from tests.controlplane.die_with_parent import tied
from tests.controlplane.plane import ControlPlane

NAMESPACE = "storage-webhook"
CONFIG_MAP = "settings"
PODS = "models"
"""The namespace of the pods."""
ACCOUNTS = ("flowers",)
"""Service accounts of the pods, in addition to `default`."""
CONFIGURATION = "storage-webhook"
SERVER_NAME = "localhost"
READY_SECONDS = 60


class Replica:
    """One process of the webhook."""

    def __init__(self, name: str, kubeconfig: Path, log: Path, lifetimes: list[str]) -> None:
        self.name = name
        self.port, self.metrics_port = _free_port(), _free_port()
        self._kubeconfig = kubeconfig
        self._log = log
        self._lifetimes = lifetimes
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start without waiting until it is ready."""
        # The chart's arguments, followed by overrides: there is no Service network here.
        command = [
            *(sys.executable, "-m", "webhook", *_chart_arguments()),
            *("--host", "127.0.0.1", "--port", str(self.port), "--metrics-port", str(self.metrics_port)),
            *("--settings", f"configmap:{NAMESPACE}/{CONFIG_MAP}"),
            *("--certificate-secret", f"{NAMESPACE}/certificates", "--certificate-names", SERVER_NAME),
            *("--webhook-configurations", CONFIGURATION, *self._lifetimes),
        ]
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig), "POD_NAME": self.name}
        # Called in the event loop's thread or one of its pool; both live as long as the soak.
        command = tied(command, thread_stays=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def wait_until_ready(self) -> None:
        """Wait until ready. Raises TimeoutError with the end of the log."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                raise TimeoutError(f"{self.name} is not ready:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            # The load verifies the certificate.
            return httpx.get(f"https://127.0.0.1:{self.port}/readyz", verify=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Send SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def memory(self) -> int:
        """Resident memory in bytes."""
        return self._status("VmRSS:") * 1024

    def descriptors(self) -> int:
        """Open file descriptors."""
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _status(self, field: str) -> int:
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(field)))


@cache
def _chart_arguments() -> tuple[str, ...]:
    """The arguments of the webhook in the chart's Deployment, with default values."""
    (container,) = one("Deployment", render())["spec"]["template"]["spec"]["containers"]
    return tuple(container["args"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def replicas(
    plane: ControlPlane, directory: Path, count: int, lifetimes: list[str], kubeconfig: Path
) -> Iterator[list[Replica]]:
    """Ready replicas, and the objects in the cluster that they need."""
    install(plane)
    created = [Replica(f"replica-{n}", kubeconfig, directory / f"replica-{n}.log", lifetimes) for n in range(count)]
    try:
        for replica in created:
            replica.start()
        for replica in created:
            replica.wait_until_ready()
        yield created
    finally:
        for replica in created:
            if replica.process is not None and replica.process.poll() is None:
                replica.kill()


def install(plane: ControlPlane) -> None:
    """Create the namespaces, the settings and the webhook configuration for the caBundle, which matches no resource."""
    with plane.client() as client:
        plane.namespace(NAMESPACE)
        plane.namespace(PODS)
        CoreV1Api(client).create_namespaced_config_map(NAMESPACE, config_map(1))
        hook: Any = {
            "name": "pods.storage.kserve.io",
            "clientConfig": {"url": f"https://{SERVER_NAME}:1/mutate-pods"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for name in ACCOUNTS:
            account: Any = {"metadata": {"name": name}}
            CoreV1Api(client).create_namespaced_service_account(PODS, account)
        body: Any = {"metadata": {"name": CONFIGURATION}, "webhooks": [hook]}
        AdmissionregistrationV1Api(client).create_mutating_webhook_configuration(body)


def config_map(generation: int) -> Any:
    """The settings' ConfigMap. The image's tag shows the generation of the settings in a response."""
    data = {"storageInitializer": yaml.safe_dump({"image": f"kserve/storage-initializer:g{generation}"})}
    return {"metadata": {"name": CONFIG_MAP}, "data": data}
