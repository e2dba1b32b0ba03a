"""Load as API servers make it: AdmissionReviews over TLS keep-alive, trusting the caBundle of the configuration."""

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
import orjson

from benchmarks.soak.replicas import SERVER_NAME
from webhook.admission import Outcome, ask, settle
from webhook.facts import NO_FACTS
from webhook.settings.parse import parse

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
# A download, a claim, one that does not ask, one that is denied.
CASES = ("s3", "pvc-direct", "istio-uid", "oci-unknown-suffix")
_SAMPLED = 199
"""One answer in so many is made again and compared: of all kinds in turns, so the number has no factor of theirs."""
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_CONNECTIONS = 32
"""At most, while one caBundle is trusted: each takes memory of the webhook, and a slow machine is not a leak."""
_RETIREMENT = 15
"""Seconds that connections which trust an old caBundle stay open."""


@dataclass
class Tally:
    """What came of the requests."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Why requests failed that went well when they were sent again."""
    compared: int = 0
    seconds: list[float] = field(default_factory=list)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the requests stayed below."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


def bodies() -> list[Any]:
    """The AdmissionReviews to send."""
    found = [FIXTURES / case / "review.json" for case in CASES]
    return [json.loads(path.read_text()) for path in found if path.exists()] or [
        json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*/review.json"))[:4]
    ]


class Load:
    """Sends reviews at a steady rate until it is told to stop, or so many were sent."""

    def __init__(
        self,
        ports: Callable[[], Sequence[int]],
        bundle: Callable[[], bytes],
        rate: float,
        reviews: Sequence[Any] | None = None,
        again_after: float | None = None,
    ) -> None:
        """`ports` says where ready replicas listen; `bundle` is the caBundle as an API server knows it.

        `reviews` are sent in turns; without them, those of the soak. `again_after`: seconds until a failed request is
        sent again, as a controller makes a refused pod again.
        """
        self.tally = Tally()
        self._ports = ports
        self._bundle = bundle
        self._interval = 1 / rate
        self._again_after = again_after
        self._reviews = reviews or bodies()
        self._trusted = b""
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[asyncio.Task[None]] = []
        self.stopping = False

    async def run(self, total: int) -> None:
        """Send `total` reviews, each at its time; late ones are sent at once."""
        start = time.monotonic()
        pending: set[asyncio.Task[None]] = set()
        for number in range(total):
            if self.stopping:
                break
            delay = start + number * self._interval - time.monotonic()
            if delay > 0 or len(pending) > 64:
                await asyncio.sleep(max(delay, 0.001))
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
            review["request"]["object"] = _named(f"own-{turn}-", review["request"]["object"])
        tally = self.tally
        begin = time.perf_counter()
        try:
            answer = await self._send(orjson.dumps(review))
        except Exception as error:
            await self._failed(review, error)
        else:
            tally.seconds.append(time.perf_counter() - begin)
            self._look_at(review, answer)
        tally.sent += 1

    async def _failed(self, review: Any, why: Exception) -> None:
        if self._again_after is None:
            self.tally.failed.append(f"{type(why).__name__}: {why}")
            return
        self.tally.lost.append(type(why).__name__)
        await asyncio.sleep(self._again_after)
        try:
            self._look_at(review, await self._send(orjson.dumps(review)))
        except Exception as error:
            self.tally.failed.append(f"again: {type(error).__name__}: {error}")

    async def _send(self, body: bytes) -> Any:
        port = random.choice(list(self._ports()))
        headers = {"Content-Type": "application/json"}
        session = self._trusting()
        async with session.post(f"https://{SERVER_NAME}:{port}/mutate-pods", data=body, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"HTTP {response.status}: {await response.text()}")
            return orjson.loads(await response.read())

    def _trusting(self) -> aiohttp.ClientSession:
        """A session that trusts the caBundle as it is now; connections that are open stay so, as in an API server."""
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

    def _look_at(self, review: Any, answer: Any) -> None:
        response = answer["response"]
        if response["uid"] != review["request"]["uid"]:
            self.tally.wrong.append("the answer to another request")
        if response.get("status", {}).get("code") in (500, 503):
            self.tally.failed.append(response["status"]["message"])
        if self.tally.sent % _SAMPLED == 0:
            self.tally.compared += 1
            if problem := compared(review, response):
                self.tally.wrong.append(problem)


def _named(name: str, pod: Any) -> Any:
    """A pod of another controller: the webhook has not answered about one like it."""
    return {**pod, "metadata": {**pod["metadata"], "generateName": name}}


def compared(review: Any, response: Any) -> str:
    """What is wrong with an answer: the same settings, here, must make the same pod; "" when it is right."""
    pod = review["request"]["object"]
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    got = jsonpatch.apply_patch(pod, patch)
    containers = got["spec"].get("initContainers") or ()
    image = next(
        (c["image"] for c in containers if c["name"] == "storage-initializer"), "kserve/storage-initializer:g1"
    )
    settings, _ = parse({"storageInitializer": {"image": image}})
    asked = ask(pod, review["request"]["namespace"], settings)
    outcome = asked if isinstance(asked, Outcome) else settle(pod, asked, settings, NO_FACTS)
    if outcome.allowed != response["allowed"]:
        return f"allowed is {response['allowed']}, not {outcome.allowed}"
    return "" if (outcome.pod or pod) == got else "another pod than the same settings make"


async def _retire(session: aiohttp.ClientSession) -> None:
    try:
        await asyncio.sleep(_RETIREMENT)
    finally:
        await session.close()


class _Loopback(aiohttp.abc.AbstractResolver):
    """Every name is this machine's."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return
