"""Replicas that are replaced in order, and one that is killed, under a constant load through one address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import reduce

from benchmarks.soak.load import Load, Tally
from benchmarks.soak.proxy import Relay
from benchmarks.soak.replicas import Replica
from benchmarks.soak.report import Report, most

LATE = 2.0
"""Seconds until nodes know that an endpoint came or went; the chart's drain is longer."""
CLIENTS = 10
AGAIN = 3.0
"""Seconds until a refused pod is made again."""


class _Clients:
    """Several clients with connections of their own, as API servers are."""

    def __init__(self, address: Relay, bundle: bytes, rate: float, again_after: float | None = None) -> None:
        self._loads = [
            Load(lambda: [address.port], lambda: bundle, rate / CLIENTS, again_after=again_after)
            for _ in range(CLIENTS)
        ]

    async def run(self, total: int) -> None:
        await asyncio.gather(*(load.run(total // CLIENTS) for load in self._loads))
        await asyncio.gather(*(load.close() for load in self._loads))

    def stop(self) -> None:
        for load in self._loads:
            load.stopping = True

    @property
    def tally(self) -> Tally:
        return reduce(Tally.plus, (load.tally for load in self._loads))


async def roll(running: list[Replica], successors: Iterator[Replica], bundle: bytes, rate: float) -> Report:
    """Replace each replica as a rolling update does: a new one is ready before an old one is told to stop.

    `rate`: admissions a second, meanwhile.
    """
    report = Report("Rolling restart of both replicas under load")
    address = Relay(*(replica.port for replica in running))
    await address.start()
    load = _Clients(address, bundle, rate)
    sending = asyncio.create_task(load.run(10**6))
    codes = []
    for old in list(running):
        new = next(successors)
        new.start()
        await asyncio.to_thread(new.wait_until_ready)
        address.learn(new.port, LATE)
        address.forget(old.port, LATE)
        codes.append(await asyncio.to_thread(old.stop))
        running[running.index(old)] = new
    load.stop()
    await sending
    report.take(load.tally)
    report.add("exit codes", ", ".join(map(str, codes)))
    report.must(not any(codes), "a replica did not exit with 0")
    return report


async def kill(running: list[Replica], bundle: bytes, rate: float, seconds: float) -> Report:
    """Kill one of two replicas after so many seconds, and count what is lost until the address knows."""
    report = Report("kill -9 of one of two replicas under load")
    address = Relay(*(replica.port for replica in running))
    await address.start()
    load = _Clients(address, bundle, rate, again_after=AGAIN)
    sending = asyncio.create_task(load.run(int(rate * (2 * seconds + LATE))))
    await asyncio.sleep(seconds)
    begin = time.monotonic()
    await asyncio.to_thread(running[0].kill)
    address.forget(running[0].port, LATE)
    await sending
    report.take(load.tally)
    lost = load.tally.lost
    report.add("lost at first", f"{len(lost)} of some {rate * LATE:.0f} sent in {LATE:g} s{most(lost)}")
    report.add("admitted when tried again", len(lost) - len(load.tally.failed))
    report.add("watched after the kill", f"{time.monotonic() - begin:.0f} s")
    return report
