"""The cache of facts: how often a cluster is asked, and when its answers are believed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.cluster_objects import NAMESPACE, service_account, storage_container
from tests.cluster_objects import claim as claim_object
from tests.cluster_objects import secret as secret_object
from tests.mutation import JsonObject, Settings, kserve_pod, plain_pod
from webhook import admission
from webhook.errors import LookupFailed, Unanswered
from webhook.fact_cache import FactCache, Limits
from webhook.facts import NO_FACTS, Claim, Facts
from webhook.facts_file import FactsFile
from webhook.metrics import Metrics
from webhook.objects import Key
from webhook.request import ModelRequest
from webhook.settings.parse import parse

POD = plain_pod("s3://b/m")
SECRET = secret_object("s", {"awsSecretAccessKey": "x"})
HELD = [service_account("s"), SECRET]
STEADY = Limits(jitter=0)


class Cluster:
    """A cluster that counts what is asked, can be slow, and can fail."""

    def __init__(self, *objects: JsonObject) -> None:
        self.objects = list(objects)
        self.asked: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.starting = 0
        """How many more reads meet an API server that is not able to answer yet."""
        self.open = threading.Event()
        self.open.set()
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def __call__(self, key: Key[Any], seconds: float) -> Any:
        self.asked[str(key)] += 1
        found = FactsFile(self.objects).read(key)
        if self.starting:
            self.starting -= 1
            raise Unanswered(f"not yet about {key}: try again")
        if not self.open.wait(seconds) or key.kind.name in self.failing:
            raise LookupFailed(f"no answer about {key}: try again")
        return found

    def cache(
        self, limits: Limits = STEADY, clock: Callable[[], float] | None = None, metrics: Metrics | None = None
    ) -> FactCache:
        return FactCache(self, metrics, limits, clock or self.clock)


def requested(pod: JsonObject = POD, settings: Settings | None = None) -> tuple[ModelRequest, Any]:
    chosen, _ = parse(settings or {})
    wanted = admission.ask(pod, NAMESPACE, chosen)
    assert isinstance(wanted, ModelRequest)
    return wanted, chosen


async def asked(cache: FactCache, pod: JsonObject = POD, settings: Mapping[str, Any] | None = None) -> Facts:
    """As the server asks: from memory, else from the cluster."""
    request, chosen = requested(pod, settings)
    return cache.cached(request, chosen) or await cache.lookup(request, chosen)


ALL_THREE = {
    'ServiceAccount "default" in namespace "models"': 1,
    'Secret "s" in namespace "models"': 1,
    "ClusterStorageContainer": 1,
}


def test_a_burst_costs_one_read_of_each_object() -> None:
    cluster = Cluster(*HELD)
    cluster.open.clear()

    async def burst() -> list[Facts]:
        cache = cluster.cache(clock=time.monotonic)
        waiting = [asyncio.create_task(asked(cache)) for _ in range(300)]
        await asyncio.sleep(0.05)
        cluster.open.set()
        return await asyncio.gather(*waiting)

    facts = asyncio.run(burst())
    assert cluster.asked == ALL_THREE
    assert set(facts[0].secrets) == {"s"}
    assert all(each == facts[0] for each in facts)


def test_what_was_found_is_believed_until_it_is_old() -> None:
    cluster = Cluster(*HELD)
    cache = cluster.cache()
    request, settings = requested()
    assert cache.cached(request, settings) is None
    facts = asyncio.run(cache.lookup(request, settings))
    cluster.now += STEADY.found - 0.1
    assert cache.cached(request, settings) == facts
    cluster.now += 0.2
    assert cache.cached(request, settings) is None
    asyncio.run(cache.lookup(request, settings))
    assert set(cluster.asked.values()) == {2}


def test_what_was_made_a_moment_ago_counts_at_once() -> None:
    cluster = Cluster(service_account("s"))
    cache = cluster.cache()
    request, settings = requested()
    assert asyncio.run(cache.lookup(request, settings)).secrets == {"s": None}
    cluster.now += 0.1
    cluster.objects.append(SECRET)
    assert cache.cached(request, settings) is None
    assert asyncio.run(cache.lookup(request, settings)).secrets["s"] is not None
    assert cluster.asked['ServiceAccount "default" in namespace "models"'] == 1


def test_what_was_not_found_is_asked_once_for_all_who_waited() -> None:
    cluster = Cluster(service_account("s"))
    cluster.open.clear()

    async def burst() -> list[Facts]:
        cache = cluster.cache()
        waiting = [asyncio.create_task(asked(cache)) for _ in range(50)]
        await asyncio.sleep(0.05)
        cluster.open.set()
        return await asyncio.gather(*waiting)

    assert all(facts.secrets == {"s": None} for facts in asyncio.run(burst()))
    assert cluster.asked == ALL_THREE


def test_an_answer_that_was_asked_for_earlier_does_not_say_that_there_is_none() -> None:
    cluster = Cluster(service_account("s"))

    async def created_meanwhile() -> Facts:
        cache = cluster.cache(clock=time.monotonic)
        request, settings = requested()
        await cache.lookup(request, settings)
        cluster.open.clear()
        early = asyncio.create_task(cache.lookup(request, settings))
        await asyncio.sleep(0.05)
        # The read under way has looked already; whoever comes now has seen the Secret being made.
        cluster.objects.append(SECRET)
        late = asyncio.create_task(cache.lookup(request, settings))
        await asyncio.sleep(0.05)
        cluster.open.set()
        assert (await early).secrets == {"s": None}
        return await late

    assert asyncio.run(created_meanwhile()).secrets["s"] is not None


NAMED = kserve_pod("s3://b/m", annotations={"internal.serving.kserve.io/storage-container-name": "b"})
SPEC = kserve_pod(
    "s3://b/m",
    annotations={
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-key": "mine",
    },
)


def test_a_storage_container_that_is_not_in_the_list_is_asked_for_again() -> None:
    cluster = Cluster(storage_container("a", "s3://"))
    cache = cluster.cache()
    request, settings = requested(NAMED)
    assert [each.name for each in asyncio.run(cache.lookup(request, settings)).storage_containers] == ["a"]
    cluster.now += 0.1
    cluster.objects.append(storage_container("b", "s3://"))
    assert cache.cached(request, settings) is None
    assert [each.name for each in asyncio.run(cache.lookup(request, settings)).storage_containers] == ["a", "b"]
    assert cache.cached(request, settings) is not None


def test_an_entry_that_is_not_in_the_secret_is_asked_for_again() -> None:
    cluster = Cluster(secret_object("storage-config", {"other": "{}"}))
    cache = cluster.cache()
    request, settings = requested(SPEC)
    assert set(asyncio.run(cache.lookup(request, settings)).storage_configs["storage-config"] or ()) == {"other"}
    cluster.now += 0.1
    cluster.objects = [secret_object("storage-config", {"mine": "{}"})]
    assert set(asyncio.run(cache.lookup(request, settings)).storage_configs["storage-config"] or ()) == {"mine"}


READ_CLAIMS = {"storageDefaults": {"claims": {"read": True}}}
DENY_CLAIMS = {"storageDefaults": {"claims": {"read": True, "deny": True}}}
CLAIM = 'PersistentVolumeClaim "models" in namespace "models"'

NEEDS: dict[str, tuple[JsonObject, Settings, set[str]]] = {
    "a claim": (plain_pod("pvc://models/m"), {}, set()),
    "a claim that may be read": (plain_pod("pvc://models/m"), READ_CLAIMS, {CLAIM}),
    "a claim to copy": (
        plain_pod("pvc://models/m", annotations={"storage.kserve.io/pvc-mount": "copy"}),
        {},
        {"ClusterStorageContainer"},
    ),
    "without credentials": (POD, {"credentials": {"enabled": False}}, {"ClusterStorageContainer"}),
    "a storage spec": (SPEC, {}, {"ClusterStorageContainer", 'Secret "storage-config" in namespace "models"'}),
    "a storage spec without credentials": (SPEC, {"credentials": {"enabled": False}}, {"ClusterStorageContainer"}),
    "a named secret": (
        plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": "mine"}),
        {},
        set(ALL_THREE) - {'Secret "s" in namespace "models"'} | {'Secret "mine" in namespace "models"'},
    ),
}


@pytest.mark.parametrize(("pod", "settings", "expected"), NEEDS.values(), ids=NEEDS)
def test_only_what_is_needed_is_read(pod: JsonObject, settings: Settings, expected: set[str]) -> None:
    cluster = Cluster(*HELD)
    asyncio.run(asked(cluster.cache(), pod, settings))
    assert set(cluster.asked) == expected


def test_a_pod_that_needs_nothing_is_answered_from_memory() -> None:
    assert Cluster().cache().cached(*requested(plain_pod("pvc://models/m"))) is NO_FACTS


def test_a_failure_reaches_all_who_waited_and_is_not_kept() -> None:
    cluster = Cluster(*HELD)
    cluster.failing.add("Secret")
    cluster.open.clear()
    metrics = Metrics()
    cache = cluster.cache(metrics=metrics)

    async def burst() -> list[Any]:
        waiting = [asyncio.create_task(asked(cache)) for _ in range(20)]
        await asyncio.sleep(0.05)
        cluster.open.set()
        results: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
        return results

    failures = asyncio.run(burst())
    assert {str(each) for each in failures} == {'no answer about Secret "s" in namespace "models": try again'}
    cluster.failing.clear()
    assert asyncio.run(asked(cache)).secrets["s"] is not None
    assert metrics.registry.get_sample_value("storage_webhook_lookups_total", {"answer": "failed"}) == 20
    assert metrics.registry.get_sample_value("storage_webhook_api_reads_total", {"kind": "Secret"}) == 2


def test_an_api_server_that_is_able_to_answer_in_a_moment_costs_no_pod() -> None:
    cluster = Cluster(*HELD)
    cluster.starting = 2
    cache = cluster.cache(Limits(jitter=0, again=(0, 0)))
    assert asyncio.run(asked(cache)).secrets["s"] is not None
    assert sum(cluster.asked.values()) == len(ALL_THREE) + 2


def test_it_is_asked_again_a_few_times_and_no_more() -> None:
    cluster = Cluster(*HELD)
    cluster.starting = 1000
    with pytest.raises(LookupFailed, match="not yet about"):
        asyncio.run(asked(cluster.cache(Limits(again=(0, 0)))))
    assert set(cluster.asked.values()) == {3}


def test_it_is_not_asked_again_about_what_is_known() -> None:
    cluster = Cluster(*HELD)
    cache = cluster.cache()

    async def through_a_restart() -> None:
        before = await asked(cache)
        cluster.now += 60
        cluster.starting = 1000
        assert await asked(cache) == before

    asyncio.run(through_a_restart())
    assert set(cluster.asked.values()) == {2}


def test_an_admission_does_not_wait_longer_than_its_budget() -> None:
    cluster = Cluster(*HELD)
    cluster.open.clear()
    cache = cluster.cache(Limits(budget=0.1, answer=0.4))
    with pytest.raises(LookupFailed, match=r"within 0\.1 s .* ServiceAccount \"default\".*: try again"):
        asyncio.run(asked(cache))
    cluster.open.set()
    assert asyncio.run(asked(cache)).secrets["s"] is not None


def test_a_claim_that_cannot_be_read_keeps_no_pod_waiting_where_findings_only_warn() -> None:
    cluster = Cluster(claim_object("models", "ReadWriteOnce"))
    cluster.failing.add("PersistentVolumeClaim")
    pod = plain_pod("pvc://models/m")
    assert asyncio.run(asked(cluster.cache(), pod, READ_CLAIMS)).claims == {"models": Claim()}
    with pytest.raises(LookupFailed):
        asyncio.run(asked(cluster.cache(), pod, DENY_CLAIMS))


def test_what_waited_too_long_for_a_thread_is_not_read_any_more() -> None:
    cluster = Cluster(*HELD)

    async def after_a_jam() -> None:
        cluster.open.clear()
        cache = cluster.cache(Limits(jitter=0, threads=1))
        waiting = [asyncio.create_task(asked(cache, plain_pod("s3://b/m", serviceAccountName=n))) for n in "abcd"]
        await asyncio.sleep(0.05)
        cluster.now += STEADY.budget + 1
        cluster.open.set()
        assert all(isinstance(each, LookupFailed) for each in await asyncio.gather(*waiting, return_exceptions=True))

    asyncio.run(after_a_jam())
    assert cluster.asked.total() == 1


def test_what_was_read_together_is_not_forgotten_together() -> None:
    cluster = Cluster()
    cache = cluster.cache(Limits())
    pods = [kserve_pod("s3://b/m", serviceAccountName=f"robot-{number}") for number in range(100)]
    cluster.objects = [service_account(name=f"robot-{number}") for number in range(100)]

    async def all_at_once() -> None:
        await asyncio.gather(*(asked(cache, pod) for pod in pods))

    asyncio.run(all_at_once())
    cluster.asked.clear()
    cluster.now += Limits().found
    asyncio.run(all_at_once())
    assert 10 < len(cluster.asked) < 90


def test_memory_is_bounded() -> None:
    cluster = Cluster()
    cache = cluster.cache(Limits(entries=3))
    for name in ("robot-1", "robot-2", "robot-3", "robot-4", "robot-1"):
        asyncio.run(asked(cache, plain_pod("s3://b/m", serviceAccountName=name)))
    assert cluster.asked['ServiceAccount "robot-1" in namespace "models"'] == 2


def test_what_was_found_is_believed_longer_while_nobody_answers() -> None:
    cluster = Cluster(*HELD)
    cache = cluster.cache()

    async def through_an_outage() -> list[Facts | None]:
        before = await asked(cache)
        cluster.failing = {"ServiceAccount", "Secret", "ClusterStorageContainers"}
        found = []
        for minutes in (1, 5, 9):
            cluster.now = 1000.0 + minutes * 60
            found.append(await asked(cache))
        assert found == [before] * 3
        cluster.now = 1000.0 + 11 * 60
        with pytest.raises(LookupFailed):
            await asked(cache)
        cluster.failing = set()
        cluster.objects = [service_account()]
        return [await asked(cache), before]

    after, before = asyncio.run(through_an_outage())
    assert before is not None
    assert before.secrets
    assert after is not None
    assert not after.secrets


def test_what_was_known_is_used_when_an_answer_takes_too_long() -> None:
    cluster = Cluster(*HELD)
    cache = cluster.cache(Limits(jitter=0, budget=0.05, answer=1))

    async def while_nothing_comes() -> tuple[Facts, Facts]:
        before = await asked(cache)
        cluster.open.clear()
        cluster.now += 60
        return before, await asked(cache)

    before, after = asyncio.run(while_nothing_comes())
    cluster.open.set()
    assert after == before
