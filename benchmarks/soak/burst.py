"""Burst: create pods as fast as a real API server accepts them, and measure the durations."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.soak.replicas import Replica
from benchmarks.soak.report import Report, milliseconds
from tests.chart.rendering import one, render
from tests.controlplane.plane import ControlPlane
from tests.mutation import plain_pod

CLIENTS = 8
NAMESPACE = "burst"
_URIS = ("s3://models/flowers", "pvc://models/flowers", None)
_WEBHOOK = "apiserver_admission_webhook_admission_duration_seconds"
_OWN = "storage_webhook_admission_duration_seconds"
_REQUEST = "apiserver_request_duration_seconds"

Histogram = dict[float, float]
"""Cumulative number of requests by upper bound in seconds."""


def run(plane: ControlPlane, replica: Replica, bundle: bytes, pods: int) -> Report:
    """Create this many pods. Two thirds of them request a model."""
    report = Report(f"Burst of {pods:,} pods by {CLIENTS} clients")
    with plane.http() as api:
        api.timeout = httpx.Timeout(60)
        register(plane, api, replica, bundle)
        before = _metrics(api, replica)
        begin = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            rejected = [reason for reason in pool.map(lambda n: _create(api, n), range(pods)) if reason]
        seconds = time.monotonic() - begin
        after = _metrics(api, replica)
        missing = _not_injected(api)
    report.add("pods created", f"{pods - len(rejected):,} in {seconds:.1f} s, {pods / seconds:.0f} per second")
    for what, metric, labels in (
        ("the webhook alone", _OWN, {}),
        ("the webhook, as the API server sees it", _WEBHOOK, {"name": _webhook()["name"]}),
        ("the whole request", _REQUEST, {"verb": "POST", "resource": "pods", "subresource": ""}),
    ):
        durations = _difference(_histogram(after, metric, labels), _histogram(before, metric, labels))
        report.add(
            f"p50, p99 of {what}",
            f"{milliseconds(quantile(durations, 0.5))}, {milliseconds(quantile(durations, 0.99))}",
        )
    report.add("rejected, not injected", f"{len(rejected)}, {missing}")
    report.must(not rejected, f"pods were rejected: {rejected[:1]}")
    report.must(not missing, "pods lack their model")
    return report


def _metrics(api: httpx.Client, replica: Replica) -> str:
    """The metrics of the API server and of the replica."""
    own = httpx.get(f"http://127.0.0.1:{replica.metrics_port}/metrics", trust_env=False)
    return api.get("/metrics").text + own.text


def _webhook() -> dict[str, Any]:
    """The webhook's registration as rendered by the chart, with rules and match conditions."""
    found: dict[str, Any] = one("MutatingWebhookConfiguration", render())["webhooks"][0]
    return found


def register(plane: ControlPlane, api: httpx.Client, replica: Replica, bundle: bytes) -> None:
    """Register the replica at the API server, unless an earlier part did, and wait until it is called."""
    configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    if api.get(f"{configurations}/burst").status_code == httpx.codes.OK:
        return
    plane.namespace(NAMESPACE)
    url = f"https://localhost:{replica.port}/mutate-pods"
    client = {"url": url, "caBundle": base64.b64encode(bundle).decode()}
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "burst"},
        "webhooks": [{**_webhook(), "clientConfig": client}],
    }
    api.post(configurations, json=body).raise_for_status()
    end = time.monotonic() + 30
    while (
        "storage-initializer" not in _post(api, {**_pod(0), "metadata": {**_pod(0)["metadata"], "name": "probe"}}).text
    ):
        if time.monotonic() > end:
            raise TimeoutError("the API server does not call the webhook")
        api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/probe", params={"gracePeriodSeconds": 0})
        time.sleep(0.1)


def _pod(number: int) -> dict[str, Any]:
    pod = plain_pod(_URIS[number % len(_URIS)] or "s3://")
    if _URIS[number % len(_URIS)] is None:
        pod["metadata"]["annotations"] = {}
    pod["metadata"].pop("namespace", None)
    del pod["metadata"]["name"]
    pod["metadata"]["generateName"] = "burst-"
    return pod


def _create(api: httpx.Client, number: int) -> str:
    """Create a pod. Returns the reason if the API server rejects it, else ""."""
    response = _post(api, _pod(number))
    return "" if response.status_code == httpx.codes.CREATED else response.text


def _post(api: httpx.Client, pod: dict[str, Any]) -> httpx.Response:
    return api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", json=pod)


def _not_injected(api: httpx.Client) -> int:
    """The number of pods that requested a model but were not injected."""
    pods = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods").json()["items"]
    return sum(
        "storage.kserve.io/uri" in (pod["metadata"].get("annotations") or {})
        and not pod["spec"].get("initContainers")
        and not any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ())
        for pod in pods
    )


def _histogram(text: str, metric: str, labels: dict[str, str]) -> Histogram:
    found: Histogram = {}
    # Parse only these lines: an API server has ten thousand others.
    relevant = "\n".join(line for line in text.splitlines() if metric in line)
    for family in text_string_to_metric_families(relevant + "\n"):
        for sample in family.samples if family.name == metric else ():
            if sample.name == f"{metric}_bucket" and labels.items() <= sample.labels.items():
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0) + sample.value
    return found


def _difference(after: Histogram, before: Histogram) -> Histogram:
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def quantile(histogram: Histogram, share: float) -> float:
    """The quantile in seconds, interpolated linearly within a bucket, as in Prometheus."""
    bounds = sorted(histogram)
    wanted = share * (histogram[bounds[-1]] if bounds else 0)
    lower, below = 0.0, 0.0
    for bound in bounds:
        if histogram[bound] >= wanted and histogram[bound] > below:
            width = 0.0 if bound == float("inf") else bound - lower
            return lower + width * (wanted - below) / (histogram[bound] - below)
        lower, below = bound, histogram[bound]
    return lower
