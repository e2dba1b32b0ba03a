"""Valid load during attacks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from benchmarks.soak.load import Load, Tally
from benchmarks.soak.replicas import Replica
from benchmarks.soak.report import Report

RATE = 100
"""Valid admissions per second."""


async def run(replica: Replica, bundle: bytes, connections: int, phases: int, seconds: float) -> Report:
    """Alternate quiet and hostile phases of this many seconds, the hostile ones with this many idle `connections`."""
    report = Report(f"Hostile clients: {connections:,} idle connections, slow senders, invalid bytes")
    load = Load(lambda: [replica.port], lambda: bundle, RATE)
    await load.run(RATE)
    quiet, hostile, max_memory, max_descriptors = Tally(), Tally(), 0, 0
    for _ in range(phases):
        load.tally = quiet
        await load.run(int(RATE * seconds))
        load.tally = hostile
        async with _attackers(replica, seconds, connections):
            sending = asyncio.create_task(load.run(int(RATE * seconds)))
            while not sending.done():
                max_memory = max(max_memory, replica.memory())
                max_descriptors = max(max_descriptors, replica.descriptors())
                await asyncio.wait([sending], timeout=0.5)
    await load.close()
    report.take(quiet.plus(hostile))
    report.add("p99 without an attack", f"{quiet.quantile(0.99):.1f} ms")
    report.add("p99 during an attack", f"{hostile.quantile(0.99):.1f} ms")
    report.add("ratio (goal: at most 3)", f"{hostile.quantile(0.99) / quiet.quantile(0.99):.1f}")
    report.add("maximum memory, descriptors", f"{max_memory / 1e6:.0f} MB, {max_descriptors:,}")
    return report


@contextlib.asynccontextmanager
async def _attackers(replica: Replica, seconds: float, connections: int) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "benchmarks.soak.attackers", str(replica.port), str(seconds), str(connections)]
    attackers = await asyncio.create_subprocess_exec(*command)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            attackers.terminate()
        await attackers.wait()
