"""Measure what one replica bears, and how many pods an API server creates (`make capacity`).

Requests arrive at random times at a rising rate. The capacity is the rate at which the 99th percentile of the response
time is twice that of a light load.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import bodies, processes
from benchmarks.load import Load, Result
from tests.controlplane.plane import ControlPlane, control_plane
from tests.e2e.pods import unnamed
from tests.mutation import plain_pod

LIGHT = 100
"""Requests a second of the light load."""
_STEP = 1.25
_CONNECTIONS = 64
_CREATORS = 8
_DEMANDS = (1_000, 10_000)
"""Pods a minute."""
_CALLS = 2
"""Admissions for each pod: the API server calls again after other webhooks changed the pod."""
console = Console(width=110)


def main() -> None:
    """Measure both, and say how many replicas are needed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="duration of each measurement")
    seconds = parser.parse_args().seconds
    reviews = bodies.reviews()
    # Half of the pods are new, and half are further pods of a ReplicaSet.
    mixed = [body for sent in reviews.values() for body in sent]
    random.Random(0).shuffle(mixed)
    with tempfile.TemporaryDirectory() as directory:
        files = processes.issue(Path(directory))
        with (
            processes.webhook(files, bodies.cluster()) as server,
            Load(server.target, mixed, _CONNECTIONS) as load,
        ):
            load.run(seconds, LIGHT)
            capacity = _capacity(load, seconds)
    with control_plane() as plane:
        created = _created(plane, seconds)
    console.print(f"An API server with etcd on this machine creates {created:,.0f} pods a second without a webhook.")
    for demand in _DEMANDS:
        share = demand / 60 * _CALLS / capacity
        console.print(
            f"{demand:,} pods a minute, called {_CALLS} times each: {share:.0%} of one replica, so {math.ceil(share)}; "
            f"{demand / 60 / created:.0%} of the API server."
        )


def _capacity(load: Load, seconds: float) -> float:
    table = Table("requests a second", "p50 ms", "p99 ms")
    rate, light, result = float(LIGHT), 0.0, None
    while result is None or result.p99 <= 2 * light:
        result = load.run(seconds, rate)
        light = light or result.p99
        _add(table, rate, result)
        rate *= _STEP
    console.print(table)
    capacity = rate / _STEP / _STEP
    console.print(f"p99 doubles above {capacity:,.0f} requests a second.")
    return capacity


def _add(table: Table, rate: float, result: Result) -> None:
    table.add_row(f"{rate:,.0f}", f"{result.p50 * 1e3:.2f}", f"{result.p99 * 1e3:.2f}")


def _created(plane: ControlPlane, seconds: float) -> float:
    """Pods that the API server creates in a second, for several callers at once."""
    namespace = "capacity"
    plane.namespace(namespace)
    end = time.perf_counter() + seconds

    def create(_: int) -> int:
        number = 0
        while time.perf_counter() < end:
            pod = unnamed(plain_pod("s3://models/iris"))
            http.post(f"/api/v1/namespaces/{namespace}/pods", json=pod).raise_for_status()
            number += 1
        return number

    with plane.http() as http, ThreadPoolExecutor(_CREATORS) as pool:
        return sum(pool.map(create, range(_CREATORS))) / seconds


if __name__ == "__main__":
    main()
