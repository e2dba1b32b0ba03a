"""Measure how the cost of an admission grows with the pod, and draw it (`make scale`).

Each curve varies one thing of a pod with a download or a mounted claim, and leaves the others as they are. The time is
that of the endpoint in one process, with parsing, logging and metrics, and without HTTP and TLS.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import in_process
from benchmarks.bodies import ACCOUNT
from tests.mutation import JsonObject, a_container, plain_pod, several
from tests.serving import review

PICTURE = Path(__file__).parents[1] / "docs" / "performance.png"
_SECONDS = 0.3
"""How long one point is measured."""
_STEEP = 1.15
"""The exponent from which a curve is reported as super-linear."""


@dataclass(frozen=True)
class Curve:
    """One thing that grows: its values, and the pod for a value."""

    title: str
    unit: str
    values: Sequence[int]
    pod: Callable[[int], JsonObject]


@dataclass(frozen=True)
class Point:
    """The cost of the pod with one value."""

    value: int
    milliseconds: float
    kilobytes: float
    """The most memory that the admission had at once, besides the body."""


def _variables(kilobytes: int) -> JsonObject:
    """A pod of this size, nearly all of it in variables."""
    pod = plain_pod("s3://models/iris")
    number = max(0, kilobytes * 1024 - 700) // 128
    pod["spec"]["containers"][0]["env"] = [{"name": f"V{n:05}", "value": "x" * 100} for n in range(number)]
    return pod


def _text(kilobytes: int) -> JsonObject:
    """A pod of this size, nearly all of it in arguments."""
    pod = plain_pod("s3://models/iris")
    pod["spec"]["containers"][0]["args"] = ["x" * 1000 for _ in range(kilobytes)]
    return pod


def _containers(number: int) -> JsonObject:
    names = [f"c{n}" for n in range(number)]
    return plain_pod("s3://models/iris", *names, annotations={"storage.kserve.io/containers": ",".join(names[:20])})


def _volumes(number: int) -> JsonObject:
    mounts = [{"name": f"v{n}", "mountPath": f"/v{n}"} for n in range(number)]
    pod = plain_pod("pvc://models/iris", volumes=[{"name": f"v{n}", "emptyDir": {}} for n in range(number)])
    pod["spec"]["containers"] = [a_container(volumeMounts=mounts)]
    return pod


def _claims(number: int) -> JsonObject:
    return several(*((f"pvc://models/m{n}", f"/mnt/m{n}") for n in range(number)))


def _downloads(number: int) -> JsonObject:
    return several(*((f"s3://models/m{n}", f"/mnt/m{n}") for n in range(number)))


CURVES = (
    Curve("Size, in variables", "KB", (2, 8, 32, 128, 512, 1000), _variables),
    Curve("Size, in arguments", "KB", (2, 8, 32, 128, 512, 1000), _text),
    Curve("Containers, 20 with the model", "containers", (1, 2, 5, 10, 20, 50, 100, 200), _containers),
    Curve("Volumes and their mounts", "volumes", (1, 5, 10, 25, 50, 100, 200), _volumes),
    Curve("Models in claims", "models", (1, 2, 5, 10, 25, 50, 100), _claims),
    Curve("Models to download", "models", (1, 2, 5, 10, 25, 50, 100), _downloads),
)


def main() -> None:
    """Measure all curves, print them, and with `--write` draw docs/performance.png."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"draw docs/{PICTURE.name}")
    options = parser.parse_args()
    measured = {curve: [_point(value, curve.pod(value)) for value in curve.values] for curve in CURVES}
    Console(width=130).print(_table(measured))
    if options.write:
        _draw(measured)


def _point(value: int, pod: JsonObject) -> Point:
    # Each body has another name, so that no response comes from the cache.
    bodies = [_body(pod, number) for number in range(8)]
    call = in_process.endpoint(bodies)
    best, end = math.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Point(value, best * 1e3, peak / 1e3)


def _body(pod: JsonObject, number: int) -> bytes:
    metadata = {**pod["metadata"], "generateName": f"pod-{number}-"}
    named: dict[str, Any] = {**pod, "metadata": metadata, "spec": {**pod["spec"], "serviceAccountName": ACCOUNT}}
    return json.dumps(review(named), separators=(",", ":")).encode()


def exponent(points: Sequence[Point]) -> float:
    """The slope of the upper half of a curve in a diagram with two logarithmic axes: 1 is linear, 2 quadratic."""
    upper = points[len(points) // 2 :]
    values, times = [math.log(each.value) for each in upper], [math.log(each.milliseconds) for each in upper]
    return statistics.linear_regression(values, times).slope


def _table(measured: dict[Curve, list[Point]]) -> Table:
    table = Table("what grows", "from", "to", "CPU ms", "at the end", "memory KB", "at the end", "exponent")
    for curve, points in measured.items():
        first, last, steep = points[0], points[-1], exponent(points)
        table.add_row(
            curve.title,
            f"{first.value:,}",
            f"{last.value:,} {curve.unit}",
            f"{first.milliseconds:.2f}",
            f"{last.milliseconds:.2f}",
            f"{first.kilobytes:,.0f}",
            f"{last.kilobytes:,.0f}",
            f"{steep:.2f}" + (" (super-linear)" if steep > _STEEP else ""),
        )
    return table


def _draw(measured: dict[Curve, list[Point]]) -> None:
    figure = Figure(figsize=(12, 7), dpi=110, layout="constrained")
    for axes, (curve, points) in zip(figure.subplots(2, 3).flat, measured.items(), strict=True):
        axes.loglog([p.value for p in points], [p.milliseconds for p in points], "o-", color="#1f6fb4")
        axes.set_title(f"{curve.title} (exponent {exponent(points):.2f})", fontsize=10)
        axes.set_xlabel(curve.unit)
        axes.set_ylabel("CPU, ms", color="#1f6fb4")
        axes.grid(alpha=0.3)
        memory = axes.twinx()
        memory.loglog([p.value for p in points], [p.kilobytes for p in points], "s--", color="#c8681f", markersize=4)
        memory.set_ylabel("memory, KB", color="#c8681f")
        for axis in (axes.xaxis, axes.yaxis, memory.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
