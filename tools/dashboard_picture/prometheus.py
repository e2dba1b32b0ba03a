"""A Prometheus server on the loopback interface, and its query API."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tests.controlplane.child import Child

JOB = "storage-webhook"
SCRAPE_SECONDS = 5
# Grafana's value of $__rate_interval is four scrape intervals.
_VARIABLES = {"$__rate_interval": f"{4 * SCRAPE_SECONDS}s", "$job": ".+", "$claims": ".+"}


class Missing(Exception):
    """Prometheus is not installed. The message says how to install it."""


@dataclass(frozen=True, slots=True)
class Series:
    """A time series."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
    """Pairs of seconds since 1970 and value."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server."""

    url: str

    def query_range(self, query: str, start: float, end: float) -> list[Series]:
        """Run a panel's query over a time range, with values for Grafana's variables."""
        for variable, value in _VARIABLES.items():
            query = query.replace(variable, value)
        parameters = {"query": query, "start": str(start), "end": str(end), "step": str(SCRAPE_SECONDS)}
        response = httpx.get(f"{self.url}/api/v1/query_range", params=parameters, trust_env=False, timeout=30)
        result = response.raise_for_status().json()["data"]["result"]
        return [Series(each["metric"], tuple((at, float(value)) for at, value in each["values"])) for each in result]


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Host and port of a kubelet, and a client certificate for it."""

    address: str
    certificate: Path
    key: Path


@contextmanager
def prometheus(directory: Path, targets: Mapping[str, int], kubelet: Kubelet) -> Iterator[Prometheus]:
    """Run a server that scrapes the kubelet and these pods: names and local ports, with a ServiceMonitor's labels.

    Raises Missing if Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise Missing("prometheus is missing: install it (Debian: apt install prometheus)")
    configuration = directory / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(_configuration(targets, kubelet)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        *(program, f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'series'}"),
        *(f"--web.listen-address={address}", "--log.level=warn"),
    ]
    child = Child(command, directory / "prometheus.log", lambda: _is_ready(f"http://{address}"))
    child.start()
    try:
        yield Prometheus(f"http://{address}")
    finally:
        child.stop()


def _configuration(targets: Mapping[str, int], kubelet: Kubelet) -> object:
    pods = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}} for pod, port in targets.items()]
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [
            {"job_name": JOB, "static_configs": pods},
            {
                "job_name": "kubelet",
                "scheme": "https",
                "static_configs": [{"targets": [kubelet.address]}],
                "tls_config": {
                    "cert_file": str(kubelet.certificate),
                    "key_file": str(kubelet.key),
                    "insecure_skip_verify": True,  # the kubelet made its certificate itself
                },
            },
        ],
    }


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False
