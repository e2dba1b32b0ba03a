"""A steady load with disturbances: settings, certificates and the API server change and fail."""

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
    """Size of the load and of the disturbances."""

    admissions: int
    rate: float
    """Admissions per second."""
    lifetimes: tuple[str, ...]
    """Options for lifetimes that are short enough to rotate certificates and their CA."""
    outages: int = 4
    """Number of times that the API server is killed."""
    check_memory: bool = False
    """Whether to check memory growth. The load must be long enough for memory to become constant."""

    @property
    def seconds(self) -> float:
        """Duration of the load."""
        return self.admissions / self.rate


FULL = Size(
    200_000,
    320,
    ("--certificate-days", "0.002", "--ca-days", "0.003", "--propagation-seconds", "20"),
    check_memory=True,
)
# A third of the CA's life is longer than a lease: a replica that loses it during an outage can still renew the CA.
SHORT = Size(1_600, 18, ("--certificate-days", "0.002", "--ca-days", "0.0012", "--propagation-seconds", "5"), outages=1)


_LOOKUPS = 16
"""Connections to the API server that two replicas may keep open for lookups."""


@dataclass
class Observations:
    """Disturbances and samples during the load."""

    begun: threading.Event = field(default_factory=threading.Event)
    """Set when the load begins."""
    counts: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    at_rest: list[int] = field(default_factory=list)
    """Descriptors before and after the load, while it has no connections."""

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class Bundle:
    """The caBundle as an API server knows it: delayed, and unchanged while no API server responds."""

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
    """Run the part on a separate control plane, because its API server is killed."""
    observations = Observations()
    with (
        control_plane() as plane,
        tempfile.TemporaryDirectory() as directory,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        soaking = pool.submit(lambda: asyncio.run(_soak(plane, Path(directory), size, observations)))
        _restart(soaking, plane, size, observations)
        return soaking.result()


def _restart(
    soaking: concurrent.futures.Future[Report], plane: ControlPlane, size: Size, observations: Observations
) -> None:
    """Kill and restart the API server several times. Runs in the main thread, which owns the child processes.

    Waits for the load to begin: a replica rejects pods while it has never read their service account.
    """
    soaking.add_done_callback(lambda _: observations.begun.set())
    observations.begun.wait()
    for _ in range(size.outages):
        done, _ = concurrent.futures.wait([soaking], timeout=size.seconds / 4.5)
        if done:
            return
        plane.kill_apiserver()
        plane.start_apiserver()
        observations.count("API server killed and restarted")


async def _soak(plane: ControlPlane, directory: Path, size: Size, observations: Observations) -> Report:
    target = int(plane.url.rpartition(":")[2])
    relay = proxy.Relay(target)
    await relay.start()
    relayed = proxy.relayed_kubeconfig(plane.kubeconfig, target, relay.port, directory)
    bundle = Bundle()
    context = replicas(plane, directory, 2, list(size.lifetimes), kubeconfig=relayed)
    running = await asyncio.to_thread(context.__enter__)
    try:
        with plane.client() as client:
            await asyncio.to_thread(bundle.read, client)
            load = Load(lambda: [replica.port for replica in running], lambda: bundle.known, size.rate)
            disturbances = [
                asyncio.create_task(_every(seconds, action))
                for seconds, action in _disturbances(client, relay, running, observations, bundle, size)
            ]
            observations.at_rest.append(_descriptors(running))
            begin = time.monotonic()
            observations.begun.set()
            await load.run(size.admissions)
            seconds = time.monotonic() - begin
            await load.close()
            await asyncio.sleep(2)
            observations.at_rest.append(_descriptors(running))
            for task in disturbances:
                task.cancel()
            await asyncio.gather(*disturbances, return_exceptions=True)
        stopped = [await asyncio.to_thread(replica.stop) for replica in running]
    finally:
        context.__exit__(None, None, None)
    observations.counts["caBundles published"] = bundle.changes
    observations.counts["connections to the API server cut"] = relay.cuts
    return _report(size, load.tally, observations, seconds, stopped)


def _disturbances(
    client: ApiClient,
    relay: proxy.Relay,
    running: list[Replica],
    observations: Observations,
    bundle: Bundle,
    size: Size,
) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
    core = CoreV1Api(client)
    generations = itertools.count(2)
    seconds = size.seconds

    async def change_settings() -> None:
        await _apply(core, config_map(next(generations)), observations, "settings changed")

    async def apply_invalid_settings() -> None:
        bad = {"metadata": {"name": CONFIG_MAP}, "data": {"storageInitializer": '{"memoryLimit": "many"}'}}
        await _apply(core, bad, observations, "settings made invalid")

    async def cut() -> None:
        relay.cut()

    async def measure() -> None:
        observations.memory.append(sum(replica.memory() for replica in running))
        observations.descriptors.append(_descriptors(running))

    async def follow() -> None:
        await asyncio.to_thread(bundle.read, client)

    return [
        (seconds / 40, change_settings),
        (seconds / 9, apply_invalid_settings),
        (seconds / 15, cut),
        (seconds / 200, measure),
        (1.0, follow),
    ]


def _descriptors(running: list[Replica]) -> int:
    return sum(replica.descriptors() for replica in running)


async def _apply(core: CoreV1Api, body: Any, observations: Observations, what: str) -> None:
    with contextlib.suppress(ApiException, HTTPError):
        await asyncio.to_thread(core.replace_namespaced_config_map, CONFIG_MAP, NAMESPACE, body, _request_timeout=3)
        observations.count(what)


async def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await action()


def _report(size: Size, tally: Tally, observations: Observations, seconds: float, stopped: list[int]) -> Report:
    report = Report("Steady load, while settings change, certificates rotate and the API server restarts")
    memory_growth, descriptor_growth = _growth(observations.memory), _growth(observations.descriptors)
    report.take(tally)
    report.add("time", f"{seconds:.0f} s")
    report.add("p50, p99", f"{tally.quantile(0.5):.1f} ms, {tally.quantile(0.99):.1f} ms")
    if observations.memory:
        report.add("memory of both, at the end", f"{observations.memory[-1] / 1e6:.0f} MB")
        report.add("memory, last quarter compared with second", f"{memory_growth:+.1%}")
        report.add(
            "descriptors, minimum and maximum", f"{min(observations.descriptors)}, {max(observations.descriptors)}"
        )
        report.add("descriptors, last quarter compared with second", f"{descriptor_growth:+.1%}")
        report.add("descriptors before and after the load", "{}, {}".format(*observations.at_rest))
    for what, count in sorted(observations.counts.items()):
        report.add(what, count)
    report.add("exit codes after SIGTERM", ", ".join(map(str, stopped)))
    report.must(not any(stopped), "a replica did not exit with 0")
    report.must(memory_growth < 0.05 or not size.check_memory, "memory grew by 5 % or more")
    report.must(observations.at_rest[1] <= observations.at_rest[0] + _LOOKUPS, "file descriptors leak")
    return report


def _growth(samples: list[int]) -> float:
    """Relative growth of the median from the second to the last quarter."""
    quarter = len(samples) // 4
    return median(samples[-quarter:]) / median(samples[quarter : 2 * quarter]) - 1 if quarter else 0.0
