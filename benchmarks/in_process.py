"""The endpoint without a server, compared with parsing the body only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bodies import cluster
from webhook.admission import review as reviews
from webhook.cluster.fact_cache import FactCache, Limits
from webhook.offline.facts_file import FactsFile
from webhook.server import handlers, logs
from webhook.server.context import Webhook
from webhook.server.endpoint import AdmissionEndpoint
from webhook.settings.source import EmbeddedSettings

_CALLS = 300
_DEV_NULL = Path(os.devnull).open("w")  # noqa: SIM115 - stays open for the log
_ALLOWED = b'"allowed":true'
_SCOPE = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")], "state": {}}


def endpoint_and_parsing(bodies: list[bytes], rounds: int) -> tuple[float, float]:
    """Median seconds of the endpoint, with logging and metrics, and of its parser, measured in turns."""
    handle = endpoint(bodies)
    bodies_to_parse = itertools.cycle(bodies)
    ours, parsing_seconds = [], []
    for _ in range(rounds):
        ours.append(_seconds(handle))
        parsing_seconds.append(_seconds(lambda: reviews.parse_pod(next(bodies_to_parse))))
    return median(ours), median(parsing_seconds)


def endpoint(bodies: list[bytes]) -> Callable[[], None]:
    """A call of the endpoint with the next body, once the facts of all bodies are cached."""
    with contextlib.redirect_stdout(_DEV_NULL):
        logs.configure("json", "info")
    settings = EmbeddedSettings()
    _run(settings.start())
    manifests = FactsFile(cluster())
    facts = FactCache(lambda key, seconds: manifests.read(key), limits=Limits(found=3600))
    served = AdmissionEndpoint(Webhook(settings=settings, facts=facts), handlers.handle_pod, parse=reviews.parse_pod)

    in_turns = itertools.cycle(bodies)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(in_turns)}

    async def send(message: Any) -> None:
        # A denial or a failure would be the cheaper, or dearer, wrong thing.
        assert b'"allowed":true' in message.get("body", _ALLOWED), message

    async def call_with_each() -> None:
        for _ in bodies:
            await served(dict(_SCOPE), receive, send)

    asyncio.run(call_with_each())
    return lambda: _run(served(dict(_SCOPE), receive, send))


def _run(coroutine: Any) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the endpoint must not wait")


def _seconds(call: Callable[[], Any]) -> float:
    gc.collect()
    began = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - began) / _CALLS
