"""A hostile tenant: one namespace sends the most expensive pods through the API server, beside pods of another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx

from benchmarks.soak.burst import register
from benchmarks.soak.replicas import Replica
from benchmarks.soak.report import Report, milliseconds, most
from tests.chart.rendering import one, render
from tests.controlplane.plane import ControlPlane
from tests.mutation import a_container, plain_pod
from webhook import quantity

GOOD, HOSTILE = "good-tenant", "hostile-tenant"
HOSTILE_CLIENTS = 1
_GOOD_URIS = ("s3://models/flowers", "pvc://models/flowers")

Pod = dict[str, Any]


def run(plane: ControlPlane, replica: Replica, bundle: bytes, seconds: float) -> Report:
    """Create pods for this many seconds without, and then beside, the hostile ones. All are server-side dry runs."""
    report = Report(f"A hostile tenant for {seconds:.0f} seconds")
    for namespace in (GOOD, HOSTILE):
        plane.namespace(namespace)
    with plane.http() as api:
        api.timeout = httpx.Timeout(60)
        register(plane, api, replica, bundle)
        _create_until(time.monotonic() + min(seconds, 5), api, [])
        problems: list[str] = []
        quiet = _create_until(time.monotonic() + seconds, api, problems)
        stopped = threading.Event()
        with ThreadPoolExecutor(HOSTILE_CLIENTS) as pool:
            sent = [pool.submit(_attack, plane, number, stopped) for number in range(HOSTILE_CLIENTS)]
            beside = _create_until(time.monotonic() + seconds, api, problems)
            memory = replica.memory()
            stopped.set()
            hostile = sum(each.result() for each in sent)
    limit = _memory_limit()
    ratio = _p99(beside) / _p99(quiet)
    report.add("hostile pods", f"{hostile:,}")
    report.add("good pods, quiet and beside them", f"{len(quiet):,}, {len(beside):,}")
    report.add("rejected good pods", f"{len(problems)}{most(problems)}")
    report.add("p99 of good pods, quiet and beside them", f"{milliseconds(_p99(quiet))}, {milliseconds(_p99(beside))}")
    report.add("ratio (goal: at most 3)", f"{ratio:.1f}")
    report.add("memory of the replica, and the chart's limit", f"{memory / 1e6:.0f} MB, {limit / 1e6:.0f} MB")
    report.must(not problems, "pods of the good tenant were rejected")
    report.must(memory < limit, "the replica needs more memory than the chart allows")
    return report


def _memory_limit() -> float:
    """The chart's memory limit of the webhook, in bytes."""
    (container,) = one("Deployment", render())["spec"]["template"]["spec"]["containers"]
    return float(quantity.parse(container["resources"]["limits"]["memory"]))


def _p99(durations: list[float]) -> float:
    ordered = sorted(durations)
    return ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]


def _create_until(end: float, api: httpx.Client, problems: list[str]) -> list[float]:
    """Create good pods one after the other. Returns the durations in seconds, and adds reasons of rejections."""
    durations: list[float] = []
    for number in count():
        if (begin := time.monotonic()) > end:
            return durations
        response = _post(api, GOOD, plain_pod(_GOOD_URIS[number % len(_GOOD_URIS)]))
        durations.append(time.monotonic() - begin)
        if response.status_code != httpx.codes.CREATED or '"kserve-' not in response.text:
            problems.append(response.text[:300])
    return durations


def _attack(plane: ControlPlane, number: int, stopped: threading.Event) -> int:
    """Send hostile pods, one kind after the other, until the event is set. Returns their number."""
    with plane.http() as api:
        api.timeout = httpx.Timeout(60)
        for sent, pod in enumerate(_hostile_pods(number)):
            if stopped.is_set():
                return sent
            _post(api, HOSTILE, pod)
    return 0


def _post(api: httpx.Client, namespace: str, pod: Pod) -> httpx.Response:
    body = {**pod, "metadata": {**pod["metadata"], "generateName": "soak-"}}
    for field in ("name", "namespace"):
        body["metadata"].pop(field, None)
    return api.post(f"/api/v1/namespaces/{namespace}/pods", params={"dryRun": "All"}, json=body)


def _hostile_pods(client: int) -> Iterator[Pod]:
    kinds: tuple[Callable[[int], Pod], ...] = (
        _long_paths,
        _many_downloads,
        _many_sidecars,
        _unknown_account,
        _long_secret_name,
        _cached,
    )
    for number in count():
        for kind in kinds:
            yield kind(client * 1_000_000 + number)


def _several(entries: list[dict[str, str]], names: list[str]) -> Pod:
    pod = plain_pod("", containers=[a_container(name) for name in names])
    pod["metadata"]["annotations"] = {
        "storage.kserve.io/uris": json.dumps(entries),
        "storage.kserve.io/containers": ",".join(names),
    }
    return pod


def _long_paths(_: int) -> Pod:
    """Many claims with long paths in many containers, within what an annotation may have."""
    entries = [{"uri": f"pvc://c{i}/x", "mountPath": f"/m{i}{'/a' * 1_200}"} for i in range(62)]
    return _several(entries, [f"c{i}" for i in range(20)])


def _many_downloads(_: int) -> Pod:
    entries = [{"uri": f"s3://b{i}/x", "mountPath": f"/mnt/m{i}{'/a' * 60}"} for i in range(100)]
    return _several(entries, [f"c{i}" for i in range(20)])


def _many_sidecars(_: int) -> Pod:
    pod = plain_pod("s3://models/x", containers=[a_container(f"c{i}") for i in range(100)])
    status = json.dumps({"containers": [f"sidecar-{i}" for i in range(15_000)]})
    pod["metadata"]["annotations"] |= {
        "sidecar.istio.io/interceptionMode": "REDIRECT",
        "sidecar.istio.io/status": status[:250_000],
    }
    return pod


def _unknown_account(number: int) -> Pod:
    return plain_pod("s3://models/x", serviceAccountName=f"unknown-{number}")


def _long_secret_name(number: int) -> Pod:
    pod = plain_pod("s3://models/x")
    pod["metadata"]["annotations"]["serving.kserve.io/storageSecretName"] = f"s{number}" + "x" * 200_000
    return pod


def _cached(number: int) -> Pod:
    """Downloads that must not share a cache entry, and whose Secrets do not exist."""
    pod = plain_pod("s3://models/iris")
    pod["metadata"]["annotations"] |= {
        "storage.kserve.io/cache": "pvc://cache",
        "serving.kserve.io/storageSecretName": f"secret-{number}",
    }
    return pod
