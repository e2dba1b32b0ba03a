"""The endpoint without a server: bytes in, bytes out, against what parsing the body alone costs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks.bodies import cluster
from webhook import decide, logs
from webhook.context import Webhook
from webhook.endpoint import AdmissionEndpoint
from webhook.fact_cache import FactCache, Limits
from webhook.facts_file import FactsFile
from webhook.settings.source import EmbeddedSettings

_CALLS = 300
_NOWHERE = Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the log is
_SCOPE = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")], "state": {}}


def endpoint_and_parsing(bodies: list[bytes], rounds: int) -> tuple[float, float]:
    """Median seconds of the endpoint, log line and metrics and all, and of `orjson.loads`, taken in turns."""
    answer = _endpoint(itertools.cycle(bodies))
    parsed = itertools.cycle(bodies)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_seconds(answer))
        theirs.append(_seconds(lambda: orjson.loads(next(parsed))))
    return median(ours), median(theirs)


def _endpoint(bodies: Iterator[bytes]) -> Callable[[], None]:
    with contextlib.redirect_stdout(_NOWHERE):
        logs.configure("json", "info")
    settings = EmbeddedSettings()
    _finish(settings.start())
    manifests = FactsFile(cluster())
    facts = FactCache(lambda key, seconds: manifests.read(key), limits=Limits(found=3600))
    endpoint = AdmissionEndpoint(Webhook(settings=settings, facts=facts), decide.pods)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(bodies)}

    async def send(message: Any) -> None:
        return

    asyncio.run(endpoint(dict(_SCOPE), receive, send))
    return lambda: _finish(endpoint(dict(_SCOPE), receive, send))


def _finish(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the endpoint waits for something")


def _seconds(call: Callable[[], Any]) -> float:
    gc.collect()
    began = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - began) / _CALLS
