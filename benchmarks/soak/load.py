"""Load as API servers send it: AdmissionReviews over keep-alive TLS, verified with the published caBundle."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import aiohttp
import jsonpatch
import msgspec

from benchmarks.soak.replicas import SERVER_NAME
from webhook.admission import pods
from webhook.admission.outcome import Outcome
from webhook.cluster.facts import NO_FACTS
from webhook.settings.parse import parse

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
# A download, a claim, a pod that requests nothing, and a denied pod.
CASES = ("s3", "pvc-direct", "istio-uid", "oci-unknown-suffix")
_SAMPLED = 199
"""One response in this many is compared. A prime number, so that all kinds of requests have their turn."""
SLOW_SECONDS = 10
"""An API server gives up after this time. On a busy machine a response may take longer; it is slow, and not lost."""
_TIMEOUT = aiohttp.ClientTimeout(total=90)
_CONNECTIONS = 32
"""Maximum for each caBundle: a slow machine must not look like a memory leak in the webhook."""
_RETIRE_SECONDS = 15
"""Seconds until connections that trust an old caBundle are closed."""


@dataclass
class Tally:
    """Results of the requests."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Reasons of failures before a retry."""
    slow: int = 0
    """Responses that took longer than `SLOW_SECONDS`."""
    compared: int = 0
    seconds: list[float] = field(default_factory=list)

    def plus(self, other: Tally) -> Tally:
        """The sum of two tallies."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def quantile(self, share: float) -> float:
        """The quantile of the durations, in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


def bodies() -> list[Any]:
    """The AdmissionReviews to send."""
    found = [FIXTURES / case / "review.json" for case in CASES]
    return [json.loads(path.read_text()) for path in found if path.exists()] or [
        json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*/review.json"))[:4]
    ]


class Load:
    """Sends reviews at a steady rate, until it is stopped or has sent them all."""

    def __init__(
        self,
        ports: Callable[[], Sequence[int]],
        bundle: Callable[[], bytes],
        rate: float,
        reviews: Sequence[Any] | None = None,
        retry_after: float | None = None,
        in_flight: int = 64,
    ) -> None:
        """`ports` returns the ports of the ready replicas, `bundle` the caBundle as an API server knows it.

        `reviews` are sent in turns; by default those of the soak. `retry_after`: seconds until a failed request is
        retried, as a controller does for a rejected pod. `in_flight`: requests at once; more wait for a response.
        """
        self.tally = Tally()
        self._ports = ports
        self._bundle = bundle
        self._interval = 1 / rate
        self._retry_after = retry_after
        self._in_flight = in_flight
        self._reviews = reviews or bodies()
        self._trusted = b""
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[asyncio.Task[None]] = []
        self.stopping = False

    async def run(self, total: int) -> None:
        """Send `total` reviews at the rate, or more slowly where responses do not come as fast."""
        due = time.monotonic()
        pending: set[asyncio.Task[None]] = set()
        for number in range(total):
            if self.stopping:
                break
            if (delay := due - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            if len(pending) >= self._in_flight:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            # What is late is not made up for: the load is as slow as the machine.
            due = max(due + self._interval, time.monotonic())
            task = asyncio.create_task(self._one(number))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)

    async def close(self) -> None:
        """Close all connections."""
        for closing in self._retired:
            closing.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _one(self, number: int) -> None:
        turn, kind = divmod(number, len(self._reviews))
        review = dict(self._reviews[kind])
        review["request"] = {**review["request"], "uid": str(uuid.uuid4())}
        if turn % 2:
            review["request"]["object"] = _with_generate_name(f"own-{turn}-", review["request"]["object"])
        tally = self.tally
        begin = time.perf_counter()
        try:
            response = await self._send(msgspec.json.encode(review))
        except Exception as error:
            await self._failed(review, error)
        else:
            tally.seconds.append(seconds := time.perf_counter() - begin)
            tally.slow += seconds > SLOW_SECONDS
            self._check(review, response)
        tally.sent += 1

    async def _failed(self, review: Any, why: Exception) -> None:
        if self._retry_after is None:
            self.tally.failed.append(f"{type(why).__name__}: {why}")
            return
        self.tally.lost.append(type(why).__name__)
        await asyncio.sleep(self._retry_after)
        try:
            self._check(review, await self._send(msgspec.json.encode(review)))
        except Exception as error:
            self.tally.failed.append(f"retry: {type(error).__name__}: {error}")

    async def _send(self, body: bytes) -> Any:
        port = random.choice(list(self._ports()))
        headers = {"Content-Type": "application/json"}
        session = self._current_session()
        async with session.post(f"https://{SERVER_NAME}:{port}/mutate-pods", data=body, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"HTTP {response.status}: {await response.text()}")
            return msgspec.json.decode(await response.read())

    def _current_session(self) -> aiohttp.ClientSession:
        """A session that trusts the current caBundle. Open connections stay open, as in an API server."""
        bundle = self._bundle()
        if self._session is None or bundle != self._trusted:
            context = ssl.create_default_context(cadata=bundle.decode())
            connector = aiohttp.TCPConnector(
                ssl=context, limit=_CONNECTIONS, keepalive_timeout=90, resolver=_Loopback()
            )
            if self._session is not None:
                self._retired.append(asyncio.create_task(_retire(self._session)))
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
            self._trusted = bundle
        return self._session

    def _check(self, review: Any, answered: Any) -> None:
        response = answered["response"]
        if response["uid"] != review["request"]["uid"]:
            self.tally.wrong.append("response to another request")
        if response.get("status", {}).get("code") in (500, 503):
            self.tally.failed.append(response["status"]["message"])
        if self.tally.sent % _SAMPLED == 0:
            self.tally.compared += 1
            if problem := compare(review, response):
                self.tally.wrong.append(problem)


def _with_generate_name(name: str, pod: Any) -> Any:
    """The pod with another controller's name, so that the webhook has no cached response."""
    return {**pod, "metadata": {**pod["metadata"], "generateName": name}}


def compare(review: Any, response: Any) -> str:
    """Compare a response with the result that the same settings have here. Returns the problem, or ""."""
    pod = review["request"]["object"]
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    patched = jsonpatch.apply_patch(pod, patch)
    containers = patched["spec"].get("initContainers") or ()
    image = next(
        (c["image"] for c in containers if c["name"] == "storage-initializer"), "kserve/storage-initializer:g1"
    )
    settings, _ = parse({"storageInitializer": {"image": image}})
    requested = pods.read(pod, review["request"]["namespace"], settings)
    outcome = requested if isinstance(requested, Outcome) else pods.apply(pod, requested, settings, NO_FACTS)
    if outcome.allowed != response["allowed"]:
        return f"allowed is {response['allowed']}, not {outcome.allowed}"
    return "" if (outcome.mutated or pod) == patched else "not the pod that the same settings produce"


async def _retire(session: aiohttp.ClientSession) -> None:
    try:
        await asyncio.sleep(_RETIRE_SECONDS)
    finally:
        await session.close()


class _Loopback(aiohttp.abc.AbstractResolver):
    """Resolves every name to the loopback address."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return
