"""A steady load while everything around it changes, breaks and comes back."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from kubernetes.client import AdmissionregistrationV1Api, ApiClient, ApiException, CoreV1Api
from urllib3.exceptions import HTTPError

from benchmarks.soak import proxy
from benchmarks.soak.load import Load, Tally
from benchmarks.soak.replicas import CONFIG_MAP, CONFIGURATION, NAMESPACE, Replica, config_map, replicas
from benchmarks.soak.report import Report
from tests.controlplane.plane import ControlPlane, control_plane


@dataclass(frozen=True)
class Size:
    """How long and how hard."""

    admissions: int
    rate: float
    """Admissions a second."""
    lifetimes: tuple[str, ...]
    """So short that certificates, and their CA, are rotated."""
    outages: int = 4
    """How often the API server is killed."""
    flat: bool = False
    """Long enough for memory to be judged: what is warmed up grows no more."""

    @property
    def seconds(self) -> float:
        """How long the load takes."""
        return self.admissions / self.rate


FULL = Size(200_000, 320, ("--certificate-days", "0.002", "--ca-days", "0.003", "--settle-seconds", "20"), flat=True)
SHORT = Size(1_600, 40, ("--certificate-days", "0.002", "--ca-days", "0.0006", "--settle-seconds", "5"), outages=1)


_LOOKUPS = 16
"""Connections to the API server that two replicas may keep for their lookups."""


@dataclass
class Happened:
    """What the load had to bear."""

    begun: threading.Event = field(default_factory=threading.Event)
    """The load has."""
    counts: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    at_rest: list[int] = field(default_factory=list)
    """Descriptors before and after the load, without its connections."""

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class Bundle:
    """The caBundle as an API server knows it: a little late, and the last one while nobody answers."""

    def __init__(self) -> None:
        self.known = b""
        self.changes = 0

    def read(self, client: ApiClient) -> None:
        with contextlib.suppress(ApiException, HTTPError):
            found: Any = AdmissionregistrationV1Api(client).read_mutating_webhook_configuration(
                CONFIGURATION, _request_timeout=3
            )
            bundle = base64.b64decode(found.webhooks[0].client_config.ca_bundle or "")
            self.changes += bool(self.known) and bundle != self.known
            self.known = bundle or self.known


def run(size: Size) -> Report:
    """Run it all, on a control plane of its own: it is killed now and then."""
    happened = Happened()
    with (
        control_plane() as plane,
        tempfile.TemporaryDirectory() as directory,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        soaking = pool.submit(lambda: asyncio.run(_soak(plane, Path(directory), size, happened)))
        _restart(soaking, plane, size, happened)
        return soaking.result()


def _restart(soaking: concurrent.futures.Future[Report], plane: ControlPlane, size: Size, happened: Happened) -> None:
    """Kill the API server now and then, and start it again: its children belong to the main thread.

    Not before the load: what a replica has never read it cannot remember, and refuses.
    """
    soaking.add_done_callback(lambda _: happened.begun.set())
    happened.begun.wait()
    for _ in range(size.outages):
        done, _ = concurrent.futures.wait([soaking], timeout=size.seconds / 4.5)
        if done:
            return
        plane.kill_apiserver()
        plane.start_apiserver()
        happened.count("API server killed and started")


async def _soak(plane: ControlPlane, directory: Path, size: Size, happened: Happened) -> Report:
    target = int(plane.url.rpartition(":")[2])
    relay = proxy.Relay(target)
    await relay.start()
    relayed = proxy.through(plane.kubeconfig, target, relay.port, directory)
    bundle = Bundle()
    made = replicas(plane, directory, 2, list(size.lifetimes), kubeconfig=relayed)
    running = await asyncio.to_thread(made.__enter__)
    try:
        with plane.client() as client:
            await asyncio.to_thread(bundle.read, client)
            load = Load(lambda: [replica.port for replica in running], lambda: bundle.known, size.rate)
            around = [
                asyncio.create_task(_every(seconds, action))
                for seconds, action in _disturbances(client, relay, running, happened, bundle, size)
            ]
            happened.at_rest.append(_descriptors(running))
            begin = time.monotonic()
            happened.begun.set()
            await load.run(size.admissions)
            seconds = time.monotonic() - begin
            await load.close()
            await asyncio.sleep(2)
            happened.at_rest.append(_descriptors(running))
            for task in around:
                task.cancel()
            await asyncio.gather(*around, return_exceptions=True)
        stopped = [await asyncio.to_thread(replica.stop) for replica in running]
    finally:
        made.__exit__(None, None, None)
    happened.counts["caBundles published"] = bundle.changes
    happened.counts["connections to the API server cut"] = relay.cuts
    return _report(size, load.tally, happened, seconds, stopped)


def _disturbances(
    client: ApiClient,
    relay: proxy.Relay,
    running: list[Replica],
    happened: Happened,
    bundle: Bundle,
    size: Size,
) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
    core = CoreV1Api(client)
    generations = itertools.count(2)
    seconds = size.seconds

    async def change_settings() -> None:
        await _apply(core, config_map(next(generations)), happened, "settings changed")

    async def break_settings() -> None:
        bad = {"metadata": {"name": CONFIG_MAP}, "data": {"storageInitializer": '{"memoryLimit": "many"}'}}
        await _apply(core, bad, happened, "settings broken")

    async def cut() -> None:
        relay.cut()

    async def measure() -> None:
        happened.memory.append(sum(replica.memory() for replica in running))
        happened.descriptors.append(_descriptors(running))

    async def follow() -> None:
        await asyncio.to_thread(bundle.read, client)

    return [
        (seconds / 40, change_settings),
        (seconds / 9, break_settings),
        (seconds / 15, cut),
        (seconds / 200, measure),
        (1.0, follow),
    ]


def _descriptors(running: list[Replica]) -> int:
    return sum(replica.descriptors() for replica in running)


async def _apply(core: CoreV1Api, body: Any, happened: Happened, what: str) -> None:
    with contextlib.suppress(ApiException, HTTPError):
        await asyncio.to_thread(core.replace_namespaced_config_map, CONFIG_MAP, NAMESPACE, body, _request_timeout=3)
        happened.count(what)


async def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await action()


def _report(size: Size, tally: Tally, happened: Happened, seconds: float, stopped: list[int]) -> Report:
    report = Report("Steady load, while settings change, certificates rotate and the API server comes and goes")
    growth, more = _growth(happened.memory), _growth(happened.descriptors)
    report.take(tally)
    report.add("time", f"{seconds:.0f} s")
    report.add("p50, p99", f"{tally.quantile(0.5):.1f} ms, {tally.quantile(0.99):.1f} ms")
    if happened.memory:
        report.add("memory of both, end", f"{happened.memory[-1] / 1e6:.0f} MB")
        report.add("memory, last quarter to second", f"{growth:+.1%}")
        report.add("descriptors, least and most", f"{min(happened.descriptors)}, {max(happened.descriptors)}")
        report.add("descriptors, last quarter to second", f"{more:+.1%}")
        report.add("descriptors before and after the load", "{}, {}".format(*happened.at_rest))
    for what, count in sorted(happened.counts.items()):
        report.add(what, count)
    report.add("exit codes after SIGTERM", ", ".join(map(str, stopped)))
    report.must(not any(stopped), "a replica did not exit with 0")
    report.must(growth < 0.05 or not size.flat, "memory grew by 5 % or more")
    report.must(happened.at_rest[1] <= happened.at_rest[0] + _LOOKUPS, "file descriptors are left behind")
    return report


def _growth(samples: list[int]) -> float:
    """By how much the median of the last quarter is above that of the second."""
    quarter = len(samples) // 4
    return median(samples[-quarter:]) / median(samples[quarter : 2 * quarter]) - 1 if quarter else 0.0
