"""`make soak`: the webhook under load while everything around it changes, breaks, attacks and comes back.

Exit code 1 when a request was lost that must not be, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.soak import burst, hostile, restart, steady
from benchmarks.soak.replicas import Replica, replicas
from benchmarks.soak.report import Report
from benchmarks.soak.steady import Bundle
from tests.controlplane.plane import ControlPlane, control_plane

PARTS = ("burst", "hostile", "roll", "kill", "steady")


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    steady: steady.Size
    pods: int
    connections: int
    phases: int
    seconds: float
    """Of each hostile phase, quiet or not, and before a kill."""
    rate: float
    """Admissions a second while replicas are replaced or killed."""


FULL = Size(steady.FULL, pods=1_000, connections=10_000, phases=2, seconds=21, rate=150)
SHORT = Size(steady.SHORT, pods=100, connections=1_500, phases=1, seconds=2, rate=60)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the version that `make test` runs")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    options = parser.parse_args()
    console, went_well = Console(), True
    for report in _reports(SHORT if options.short else FULL, options.only or PARTS):
        report.show(console)
        went_well = went_well and not report.problems
    return 0 if went_well else 1


def _reports(size: Size, parts: tuple[str, ...]) -> Iterator[Report]:
    if set(parts) - {"steady"}:
        yield from _with_replicas(size, parts)
    if "steady" in parts:
        yield steady.run(size.steady)


def _with_replicas(size: Size, parts: tuple[str, ...]) -> Iterator[Report]:
    """The parts that share a control plane and two replicas."""
    with control_plane() as plane, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with replicas(plane, directory, 2, [], kubeconfig=plane.kubeconfig) as running:
            bundle = _bundle(plane)
            if "burst" in parts:
                yield burst.run(plane, running[0], bundle, size.pods)
            if "hostile" in parts:
                yield asyncio.run(hostile.run(running[0], bundle, size.connections, size.phases, size.seconds))
            if "roll" in parts:
                yield asyncio.run(restart.roll(running, _successors(plane, directory), bundle, size.rate))
            if "kill" in parts:
                yield asyncio.run(restart.kill(running, bundle, size.rate, size.seconds))


def _bundle(plane: ControlPlane) -> bytes:
    """The caBundle that the replicas published."""
    bundle = Bundle()
    with plane.client() as client:
        bundle.read(client)
    return bundle.known


def _successors(plane: ControlPlane, directory: Path) -> Iterator[Replica]:
    """Replicas that are not started yet, under names of their own."""
    for number in itertools.count(2):
        yield Replica(f"replica-{number}", plane.kubeconfig, directory / f"replica-{number}.log", [])


if __name__ == "__main__":
    sys.exit(main())
