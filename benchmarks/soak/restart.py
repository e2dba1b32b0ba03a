"""Rolling restart, and a killed replica, under a constant load through one address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import reduce

from benchmarks.soak.load import Load, Tally
from benchmarks.soak.proxy import Relay
from benchmarks.soak.replicas import Replica
from benchmarks.soak.report import Report, most

ENDPOINT_DELAY = 2.0
"""Seconds until nodes add or remove an endpoint; the chart's drain is longer."""
CLIENTS = 10
RETRY_AFTER = 3.0
"""Seconds until a controller retries a rejected pod."""


class _Clients:
    """Several clients with separate connections, like API servers."""

    def __init__(self, address: Relay, bundle: bytes, rate: float, retry_after: float | None = None) -> None:
        self._loads = [
            Load(lambda: [address.port], lambda: bundle, rate / CLIENTS, retry_after=retry_after, in_flight=4)
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
    """Replace each replica as a rolling update does: a new one is ready before an old one gets SIGTERM.

    `rate`: admissions per second during the update.
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
        address.add_target(new.port, ENDPOINT_DELAY)
        address.remove_target(old.port, ENDPOINT_DELAY)
        codes.append(await asyncio.to_thread(old.stop))
        running[running.index(old)] = new
    load.stop()
    await sending
    report.take(load.tally)
    report.add("exit codes", ", ".join(map(str, codes)))
    report.must(not any(codes), "a replica did not exit with 0")
    return report


async def kill(running: list[Replica], bundle: bytes, rate: float, seconds: float) -> Report:
    """Kill one of two replicas after this many seconds, and count failures until the address removes it."""
    report = Report("kill -9 of one of two replicas under load")
    address = Relay(*(replica.port for replica in running))
    await address.start()
    load = _Clients(address, bundle, rate, retry_after=RETRY_AFTER)
    sending = asyncio.create_task(load.run(int(rate * (2 * seconds + ENDPOINT_DELAY))))
    await asyncio.sleep(seconds)
    begin = time.monotonic()
    await asyncio.to_thread(running[0].kill)
    address.remove_target(running[0].port, ENDPOINT_DELAY)
    await sending
    report.take(load.tally)
    lost = load.tally.lost
    report.add(
        "failed at first", f"{len(lost)} of about {rate * ENDPOINT_DELAY:.0f} sent in {ENDPOINT_DELAY:g} s{most(lost)}"
    )
    report.add("admitted after a retry", len(lost) - len(load.tally.failed))
    report.add("load after the kill", f"{time.monotonic() - begin:.0f} s")
    return report
