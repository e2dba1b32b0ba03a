"""Runs the webhook as a process with the arguments of the chart's Deployment."""

import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.controlplane.child import Child
from tests.serving import HOST, Authority


@dataclass(frozen=True)
class WebhookProcess:
    """A webhook that can be killed, paused and restarted at the same address."""

    child: Child
    url: str
    metrics_url: str
    authority: Authority

    def start(self) -> None:
        self.child.start()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        self.child.kill()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the process: the kernel accepts connections, but nothing responds."""
        os.kill(self.child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.child.pid, signal.SIGCONT)

    def readyz(self) -> str:
        """The body of /readyz, with any status."""
        context = self.authority.client_context()
        return httpx.get(f"{self.url}/readyz", verify=context, trust_env=False, timeout=30).text

    def count(self, metric: str) -> float:
        """The sum of a counter over all labels."""
        text = httpx.get(f"{self.metrics_url}/metrics", verify=False, trust_env=False, timeout=30).text
        families = text_string_to_metric_families(text)
        return sum(sample.value for family in families for sample in family.samples if sample.name == f"{metric}_total")

    @property
    def admissions(self) -> float:
        """The number of admission requests."""
        return self.count("storage_webhook_admissions")

    @property
    def cached_responses(self) -> float:
        """The number of admission requests answered from the response cache."""
        return self.count("storage_webhook_cached_responses")


@contextmanager
def running_webhook(
    directory: Path, arguments: Sequence[str], authority: Authority, kubeconfig: Path | None = None
) -> Iterator[WebhookProcess]:
    """Run the webhook with a certificate of the authority.

    `arguments` are those of its pod. Addresses and paths of files are added.
    """
    certificate, key = authority.issue(directory)
    port, metrics_port = _free_ports(2)
    local_options = {
        "host": HOST,
        "port": port,
        "metrics-port": metrics_port,
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "drain-seconds": 0,
    }
    environment = [f"KUBECONFIG={kubeconfig}"] if kubeconfig else []
    command = ["/usr/bin/env", *environment, sys.executable, "-m", "webhook", *arguments]
    command += [f"--{name}={value}" for name, value in local_options.items()]
    url = f"https://{HOST}:{port}"
    child = Child(command, directory / "webhook.log", _serves(url, authority.client_context()))
    process = WebhookProcess(child, url, f"http://{HOST}:{metrics_port}", authority)
    process.start()
    try:
        yield process
    finally:
        child.stop()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(number)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _serves(url: str, context: ssl.SSLContext) -> Callable[[], bool]:
    def serves() -> bool:
        try:
            return httpx.get(f"{url}/readyz", verify=context, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return serves
