"""Soak test: the webhook under load, with disturbances, attacks and restarts (`make soak`).

Exits with 1 if a request failed that must not fail, or if a response was wrong.
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

from benchmarks.soak import burst, hostile, restart, steady, tenant
from benchmarks.soak.replicas import Replica, replicas
from benchmarks.soak.report import Report
from benchmarks.soak.steady import Bundle
from tests.controlplane.plane import ControlPlane, control_plane

PARTS = ("burst", "tenant", "hostile", "roll", "kill", "steady")


@dataclass(frozen=True)
class Size:
    """Size of all parts."""

    steady: steady.Size
    pods: int
    connections: int
    phases: int
    seconds: float
    """Duration of each phase of the hostile part, and of the load before the kill."""
    tenant_seconds: float
    """Duration of the quiet and of the hostile phase of the tenant part."""
    rate: float
    """Admissions per second while replicas are replaced or killed."""


FULL = Size(steady.FULL, pods=1_000, connections=10_000, phases=2, seconds=21, tenant_seconds=60, rate=150)
SHORT = Size(steady.SHORT, pods=100, connections=1_500, phases=1, seconds=2, tenant_seconds=3, rate=60)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="run the short version, as in `make test`")
    parser.add_argument("--only", action="append", choices=PARTS, help="run only this part; may be repeated")
    options = parser.parse_args()
    console, succeeded = Console(), True
    for report in _reports(SHORT if options.short else FULL, options.only or PARTS):
        report.show(console)
        succeeded = succeeded and not report.problems
    return 0 if succeeded else 1


def _reports(size: Size, parts: tuple[str, ...]) -> Iterator[Report]:
    if set(parts) - {"steady"}:
        yield from _with_replicas(size, parts)
    if "steady" in parts:
        yield steady.run(size.steady)


def _with_replicas(size: Size, parts: tuple[str, ...]) -> Iterator[Report]:
    """Run the parts that share a control plane and two replicas."""
    with control_plane() as plane, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with replicas(plane, directory, 2, [], kubeconfig=plane.kubeconfig) as running:
            bundle = _bundle(plane)
            if "burst" in parts:
                yield burst.run(plane, running[0], bundle, size.pods)
            if "tenant" in parts:
                yield tenant.run(plane, running[0], bundle, size.tenant_seconds)
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
    """Replicas that are not started yet, with new names."""
    for number in itertools.count(2):
        yield Replica(f"replica-{number}", plane.kubeconfig, directory / f"replica-{number}.log", [])


if __name__ == "__main__":
    sys.exit(main())
