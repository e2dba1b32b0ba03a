"""Run replicas under load, query Prometheus and draw the dashboard (`make dashboard-picture`).

The replicas and the load are those of the soak test, with a real API server, and a real node whose claims fill up. To
give every panel data, the settings change, are invalid once and switch to observe mode for a while, some pods are not
injected, and the API server crashes once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import concurrent.futures
import functools
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import AdmissionregistrationV1Api, CoreV1Api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from benchmarks.soak.load import FIXTURES, Load
from benchmarks.soak.replicas import CONFIG_MAP, CONFIGURATION, NAMESPACE, PODS, Replica, replicas
from tests.controlplane.plane import ControlPlane
from tests.mutation import plain_pod
from tests.node import kubelet
from tests.node.network import NODE_IP
from tests.node.node import Node, running_node
from tools.dashboard import dashboard
from tools.dashboard_picture.claims import fill_claims
from tools.dashboard_picture.drawing import Line, draw, to_line
from tools.dashboard_picture.prometheus import Kubelet, Missing, Prometheus, prometheus

TARGET = Path(__file__).parents[2] / "docs" / "dashboard.png"
# Golden cases, and their share in percent of the requests.
MIX = {
    "s3": 24,
    "pvc-direct": 18,
    "hf": 12,
    "gs": 8,
    "several-mixed": 4,
    "pvc-after-kserve": 4,
    "pvc-single-file-after-kserve": 3,
    "skip-already-injected": 13,
    "skip-agent": 3,
    "skip-no-uri": 6,
    "skip-disabled": 2,
    "pvc-climbs": 3,
}
OPTIONS = ["--certificate-days", "0.004", "--ca-days", "0.012", "--propagation-seconds", "20", "--audit-seconds", "10"]
_WAVE = 10.0
"""Seconds at a constant request rate."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make dashboard-picture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8)
    seconds = parser.parse_args().minutes * 60
    with (
        running_node() as node,
        tempfile.TemporaryDirectory() as directory,
        replicas(node.api.plane, Path(directory), 2, OPTIONS, node.api.plane.kubeconfig) as running,
        prometheus(
            Path(directory),
            {replica.name: replica.metrics_port for replica in running},
            _kubelet(node),
        ) as monitoring,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        plane = node.api.plane
        fill_claims(node, plane.namespace("chat"))
        start = time.time()
        loading = pool.submit(lambda: asyncio.run(_load(plane, running, seconds)))
        # Only the main thread may control the API server.
        time.sleep(seconds * 0.85)
        plane.kill_apiserver()
        time.sleep(15)
        plane.start_apiserver()
        print(loading.result())
        empty = paint(monitoring, start, time.time(), TARGET)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes; no data: {', '.join(empty) or 'none'}")
    return 0


def _kubelet(node: Node) -> Kubelet:
    return Kubelet(f"{NODE_IP}:{kubelet.PORT}", node.kubelet_client.certificate, node.kubelet_client.key)


def paint(monitoring: Prometheus, start: float, end: float, target: Path) -> list[str]:
    """Draw the dashboard. Returns the titles of the panels without data."""
    model = json.loads(dashboard())
    graphs = {
        panel["id"]: sorted(_lines(monitoring, panel, start, end), key=lambda line: line.name)
        for panel in model["panels"]
    }
    draw(model, graphs, (start, end), target)
    return [panel["title"] for panel in model["panels"] if not graphs[panel["id"]]]


def _lines(monitoring: Prometheus, panel: Any, start: float, end: float) -> Iterator[Line]:
    for target in panel["targets"]:
        for series in monitoring.query_range(target["expr"], start, end):
            yield to_line(series, target["legendFormat"])


# --- Load and changes ---------------------------------------------------------------------------------------------


async def _load(plane: ControlPlane, running: Sequence[Replica], seconds: float) -> str:
    """Send requests at varying rates while settings and pods change. Returns a summary."""
    end = time.monotonic() + seconds
    with plane.client() as client:
        core = CoreV1Api(client)
        changes = [
            asyncio.create_task(_change_settings(core, seconds)),
            asyncio.create_task(_create_uninjected_pods(core, seconds)),
        ]
        failures: Counter[str] = Counter()
        sent, bundle = 0, b""
        while time.monotonic() < end:
            bundle = await asyncio.to_thread(_bundle, AdmissionregistrationV1Api(client)) or bundle
            rate = 90 + 50 * math.sin((end - time.monotonic()) / 55) + 25 * math.sin((end - time.monotonic()) / 17)
            load = Load(
                lambda: [each.port for each in running], functools.partial(bytes, bundle), rate, _mixed_reviews()
            )
            await load.run(int(rate * _WAVE))
            await load.close()
            sent += load.tally.sent
            failures.update(load.tally.failed)
        await asyncio.gather(*changes)
    return f"{sent:,} admissions; without a response, or failed because of the cluster: {dict(failures)}"


def _mixed_reviews() -> list[Any]:
    reviews = {case: json.loads((FIXTURES / case / "review.json").read_text()) for case in MIX}
    return [reviews[case] for case, share in MIX.items() for _ in range(share)]


def _bundle(api: AdmissionregistrationV1Api) -> bytes:
    """The caBundle; empty while the API server is unavailable."""
    try:
        found: Any = api.read_mutating_webhook_configuration(CONFIGURATION, _request_timeout=3)
    except (ApiException, HTTPError):
        return b""
    return base64.b64decode(found.webhooks[0].client_config.ca_bundle or "")


async def _change_settings(core: CoreV1Api, seconds: float) -> None:
    """Apply two valid changes, an invalid one and its correction, and observe mode for a while."""
    changes: list[tuple[float, dict[str, Any]]] = [
        (0.10, {"storageInitializer": {"memoryLimit": "2Gi"}}),
        (0.10, {"storageInitializer": {"memoryLimit": "4Gi"}}),
        (0.10, {"storageInitializer": {"memoryLimit": "many"}}),
        (0.12, {"storageInitializer": {"memoryLimit": "4Gi"}}),
        (0.06, {"storageDefaults": {"mode": "observe"}}),
        (0.25, {"storageInitializer": {"memoryLimit": "4Gi"}}),
    ]
    for share, data in changes:
        await asyncio.sleep(share * seconds)
        body: Any = {
            "metadata": {"name": CONFIG_MAP},
            "data": {key: yaml.safe_dump(text) for key, text in data.items()},
        }
        await asyncio.to_thread(core.replace_namespaced_config_map, CONFIG_MAP, NAMESPACE, body)


async def _create_uninjected_pods(core: CoreV1Api, seconds: float) -> None:
    """Create pods that request a model, with no webhook registered. Delete them later."""
    for share in (0.2, 0.1):
        await asyncio.sleep(share * seconds)
        pod: Any = plain_pod("s3://models/iris")
        pod["metadata"]["name"] = f"uninjected-{int(share * 100)}"
        await asyncio.to_thread(core.create_namespaced_pod, PODS, pod)
    await asyncio.sleep(0.3 * seconds)
    await asyncio.to_thread(core.delete_collection_namespaced_pod, PODS, grace_period_seconds=0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        sys.exit(str(missing))
