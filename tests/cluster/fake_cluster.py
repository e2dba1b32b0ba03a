"""A fake cluster to look facts up in."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster_objects import NAMESPACE, service_account
from tests.cluster_objects import secret as secret_object
from tests.mutation import JsonObject, Settings, kserve_pod, plain_pod
from webhook.admission import pods
from webhook.cluster.fact_cache import FactCache, Limits
from webhook.cluster.facts import Facts
from webhook.cluster.kinds import Key
from webhook.errors import LookupFailed, Unavailable
from webhook.metrics import Metrics
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.settings.parse import parse

POD = plain_pod("s3://b/m")
SECRET = secret_object("s", {"awsSecretAccessKey": "x"})
OBJECTS = [service_account("s"), SECRET]
STEADY = Limits(jitter=0)


class Cluster:
    """A fake reader that counts reads, can block, and can fail."""

    def __init__(self, *objects: JsonObject) -> None:
        self.objects = list(objects)
        self.reads: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.unavailable = 0
        """The number of next reads that fail with Unavailable."""
        self.responding = threading.Event()
        self.responding.set()
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def __call__(self, key: Key[Any], seconds: float) -> Any:
        self.reads[str(key)] += 1
        found = FactsFile(self.objects).read(key)
        if self.unavailable:
            self.unavailable -= 1
            raise Unavailable(f"{key} is unavailable: try again")
        if not self.responding.wait(seconds) or key.kind.name in self.failing:
            raise LookupFailed(f"no response for {key}: try again")
        return found

    def cache(
        self, limits: Limits = STEADY, clock: Callable[[], float] | None = None, metrics: Metrics | None = None
    ) -> FactCache:
        return FactCache(self, metrics, limits, clock or self.clock)


def requested(pod: JsonObject = POD, settings: Settings | None = None) -> tuple[ModelRequest, Any]:
    parsed, _ = parse(settings or {})
    request = pods.read(pod, NAMESPACE, parsed)
    assert isinstance(request, ModelRequest)
    return request, parsed


async def facts_of(cache: FactCache, pod: JsonObject = POD, settings: Mapping[str, Any] | None = None) -> Facts:
    """Look facts up as the server does: from the cache, else with reads."""
    request, parsed = requested(pod, settings)
    return cache.cached(request, parsed) or await cache.lookup(request, parsed)


SPEC = kserve_pod(
    "s3://b/m",
    annotations={
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-key": "mine",
    },
)

READ_CLAIMS = {"storageDefaults": {"claims": {"read": True}}}
