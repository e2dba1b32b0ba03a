"""The cache of facts: how often objects are read, and how long facts are used."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.cluster.fake_cluster import OBJECTS, POD, READ_CLAIMS, SECRET, SPEC, STEADY, Cluster, facts_of, requested
from tests.cluster_objects import claim as claim_object
from tests.cluster_objects import secret as secret_object
from tests.cluster_objects import service_account, storage_container
from tests.mutation import JsonObject, Settings, kserve_pod, plain_pod
from webhook.cluster.fact_cache import Limits
from webhook.cluster.facts import NO_FACTS, Claim, Facts
from webhook.errors import LookupFailed
from webhook.metrics import Metrics

READS_OF_POD = {
    'ServiceAccount "default" in namespace "models"': 1,
    'Secret "s" in namespace "models"': 1,
    "ClusterStorageContainer": 1,
}


def test_concurrent_requests_share_one_read_of_each_object() -> None:
    cluster = Cluster(*OBJECTS)
    cluster.responding.clear()

    async def burst() -> list[Facts]:
        cache = cluster.cache(clock=time.monotonic)
        waiting = [asyncio.create_task(facts_of(cache)) for _ in range(300)]
        await asyncio.sleep(0.05)
        cluster.responding.set()
        return await asyncio.gather(*waiting)

    facts = asyncio.run(burst())
    assert cluster.reads == READS_OF_POD
    assert set(facts[0].secrets) == {"s"}
    assert all(each == facts[0] for each in facts)


def test_found_objects_are_cached_until_they_expire() -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()
    request, settings = requested()
    assert cache.cached(request, settings) is None
    facts = asyncio.run(cache.lookup(request, settings))
    cluster.now += STEADY.found - 0.1
    assert cache.cached(request, settings) == facts
    cluster.now += 0.2
    assert cache.cached(request, settings) is None
    asyncio.run(cache.lookup(request, settings))
    assert set(cluster.reads.values()) == {2}


def test_a_missing_object_is_read_again_for_the_next_request() -> None:
    cluster = Cluster(service_account("s"))
    cache = cluster.cache()
    request, settings = requested()
    assert asyncio.run(cache.lookup(request, settings)).secrets == {"s": None}
    cluster.now += 0.1
    cluster.objects.append(SECRET)
    assert cache.cached(request, settings) is None
    assert asyncio.run(cache.lookup(request, settings)).secrets["s"] is not None
    assert cluster.reads['ServiceAccount "default" in namespace "models"'] == 1


def test_concurrent_requests_share_one_read_of_a_missing_object() -> None:
    cluster = Cluster(service_account("s"))
    cluster.responding.clear()

    async def burst() -> list[Facts]:
        cache = cluster.cache()
        waiting = [asyncio.create_task(facts_of(cache)) for _ in range(50)]
        await asyncio.sleep(0.05)
        cluster.responding.set()
        return await asyncio.gather(*waiting)

    assert all(facts.secrets == {"s": None} for facts in asyncio.run(burst()))
    assert cluster.reads == READS_OF_POD


def test_a_read_that_began_before_the_request_does_not_prove_that_an_object_is_missing() -> None:
    cluster = Cluster(service_account("s"))

    async def created_meanwhile() -> Facts:
        cache = cluster.cache(clock=time.monotonic)
        request, settings = requested()
        await cache.lookup(request, settings)
        cluster.responding.clear()
        early = asyncio.create_task(cache.lookup(request, settings))
        await asyncio.sleep(0.05)
        # The read in flight may miss the Secret. A request that arrives now must find it.
        cluster.objects.append(SECRET)
        late = asyncio.create_task(cache.lookup(request, settings))
        await asyncio.sleep(0.05)
        cluster.responding.set()
        assert (await early).secrets == {"s": None}
        return await late

    assert asyncio.run(created_meanwhile()).secrets["s"] is not None


NAMED = kserve_pod("s3://b/m", annotations={"internal.serving.kserve.io/storage-container-name": "b"})


def test_the_list_is_read_again_for_a_storage_container_that_is_not_in_it() -> None:
    cluster = Cluster(storage_container("a", "s3://"))
    cache = cluster.cache()
    request, settings = requested(NAMED)
    assert [each.name for each in asyncio.run(cache.lookup(request, settings)).storage_containers] == ["a"]
    cluster.now += 0.1
    cluster.objects.append(storage_container("b", "s3://"))
    assert cache.cached(request, settings) is None
    assert [each.name for each in asyncio.run(cache.lookup(request, settings)).storage_containers] == ["a", "b"]
    assert cache.cached(request, settings) is not None


def test_the_secret_is_read_again_for_an_entry_that_is_not_in_it() -> None:
    cluster = Cluster(secret_object("storage-config", {"other": "{}"}))
    cache = cluster.cache()
    request, settings = requested(SPEC)
    assert not asyncio.run(cache.lookup(request, settings)).storage_configs["storage-config"]
    cluster.now += 0.1
    cluster.objects = [secret_object("storage-config", {"mine": "{}"})]
    assert set(asyncio.run(cache.lookup(request, settings)).storage_configs["storage-config"] or ()) == {"mine"}


DENY_CLAIMS = {"storageDefaults": {"claims": {"read": True, "deny": True}}}
CLAIM = 'PersistentVolumeClaim "models" in namespace "models"'

LOOKUPS: dict[str, tuple[JsonObject, Settings, set[str]]] = {
    "a claim": (plain_pod("pvc://models/m"), {}, set()),
    "a claim with claims.read": (plain_pod("pvc://models/m"), READ_CLAIMS, {CLAIM}),
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
        set(READS_OF_POD) - {'Secret "s" in namespace "models"'} | {'Secret "mine" in namespace "models"'},
    ),
}


@pytest.mark.parametrize(("pod", "settings", "expected"), LOOKUPS.values(), ids=LOOKUPS)
def test_only_needed_objects_are_read(pod: JsonObject, settings: Settings, expected: set[str]) -> None:
    cluster = Cluster(*OBJECTS)
    asyncio.run(facts_of(cluster.cache(), pod, settings))
    assert set(cluster.reads) == expected


def test_a_pod_that_needs_no_facts_needs_no_lookup() -> None:
    assert Cluster().cache().cached(*requested(plain_pod("pvc://models/m"))) is NO_FACTS


def test_a_failure_fails_all_waiting_requests_and_is_not_cached() -> None:
    cluster = Cluster(*OBJECTS)
    cluster.failing.add("Secret")
    cluster.responding.clear()
    metrics = Metrics()
    cache = cluster.cache(metrics=metrics)

    async def burst() -> list[Any]:
        waiting = [asyncio.create_task(facts_of(cache)) for _ in range(20)]
        await asyncio.sleep(0.05)
        cluster.responding.set()
        results: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
        return results

    failures = asyncio.run(burst())
    assert {str(each) for each in failures} == {'no response for Secret "s" in namespace "models": try again'}
    cluster.failing.clear()
    assert asyncio.run(facts_of(cache)).secrets["s"] is not None
    assert metrics.registry.get_sample_value("storage_webhook_lookups_total", {"result": "failed"}) == 20
    assert metrics.registry.get_sample_value("storage_webhook_api_reads_total", {"kind": "Secret"}) == 2


def test_reads_are_retried_while_the_api_server_is_unavailable() -> None:
    cluster = Cluster(*OBJECTS)
    cluster.unavailable = 2
    cache = cluster.cache(Limits(jitter=0, retry_delays=(0, 0)))
    assert asyncio.run(facts_of(cache)).secrets["s"] is not None
    assert sum(cluster.reads.values()) == len(READS_OF_POD) + 2


def test_the_number_of_retries_is_limited() -> None:
    cluster = Cluster(*OBJECTS)
    cluster.unavailable = 1000
    with pytest.raises(LookupFailed, match="is unavailable"):
        asyncio.run(facts_of(cluster.cache(Limits(retry_delays=(0, 0)))))
    assert set(cluster.reads.values()) == {3}


def test_reads_are_not_retried_when_a_stale_fact_is_cached() -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()

    async def during_a_restart() -> None:
        before = await facts_of(cache)
        cluster.now += 60
        cluster.unavailable = 1000
        assert await facts_of(cache) == before

    asyncio.run(during_a_restart())
    assert set(cluster.reads.values()) == {2}


def test_a_lookup_fails_when_it_exceeds_the_budget() -> None:
    cluster = Cluster(*OBJECTS)
    cluster.responding.clear()
    cache = cluster.cache(Limits(budget=0.1, read_timeout=0.4))
    with pytest.raises(LookupFailed, match=r"within 0\.1 s .* ServiceAccount \"default\".*: try again"):
        asyncio.run(facts_of(cache))
    cluster.responding.set()
    assert asyncio.run(facts_of(cache)).secrets["s"] is not None


def test_a_failed_read_of_a_claim_does_not_fail_the_lookup_when_claims_only_warn() -> None:
    cluster = Cluster(claim_object("models", "ReadWriteOnce"))
    cluster.failing.add("PersistentVolumeClaim")
    pod = plain_pod("pvc://models/m")
    assert asyncio.run(facts_of(cluster.cache(), pod, READ_CLAIMS)).claims == {"models": Claim()}
    with pytest.raises(LookupFailed):
        asyncio.run(facts_of(cluster.cache(), pod, DENY_CLAIMS))


def test_a_read_that_waited_longer_than_the_budget_for_a_thread_is_not_sent() -> None:
    cluster = Cluster(*OBJECTS)

    async def with_busy_threads() -> None:
        cluster.responding.clear()
        cache = cluster.cache(Limits(jitter=0, threads=1))
        waiting = [asyncio.create_task(facts_of(cache, plain_pod("s3://b/m", serviceAccountName=n))) for n in "abcd"]
        await asyncio.sleep(0.05)
        cluster.now += STEADY.budget + 1
        cluster.responding.set()
        assert all(isinstance(each, LookupFailed) for each in await asyncio.gather(*waiting, return_exceptions=True))

    asyncio.run(with_busy_threads())
    assert cluster.reads.total() == 1


def test_objects_that_were_read_together_expire_at_different_times() -> None:
    cluster = Cluster()
    cache = cluster.cache(Limits())
    pods = [kserve_pod("s3://b/m", serviceAccountName=f"robot-{number}") for number in range(100)]
    cluster.objects = [service_account(name=f"robot-{number}") for number in range(100)]

    async def all_at_once() -> None:
        await asyncio.gather(*(facts_of(cache, pod) for pod in pods))

    asyncio.run(all_at_once())
    cluster.reads.clear()
    cluster.now += Limits().found
    asyncio.run(all_at_once())
    assert 10 < len(cluster.reads) < 90


def test_the_number_of_cached_objects_is_limited() -> None:
    cluster = Cluster()
    cache = cluster.cache(Limits(entries=3))
    for name in ("robot-1", "robot-2", "robot-3", "robot-4", "robot-1"):
        asyncio.run(facts_of(cache, plain_pod("s3://b/m", serviceAccountName=name)))
    assert cluster.reads['ServiceAccount "robot-1" in namespace "models"'] == 2


def test_found_objects_are_used_longer_during_an_outage() -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()

    async def during_an_outage() -> list[Facts | None]:
        before = await facts_of(cache)
        cluster.failing = {"ServiceAccount", "Secret", "ClusterStorageContainers"}
        found = []
        for minutes in (1, 5, 9):
            cluster.now = 1000.0 + minutes * 60
            found.append(await facts_of(cache))
        assert found == [before] * 3
        cluster.now = 1000.0 + 11 * 60
        with pytest.raises(LookupFailed):
            await facts_of(cache)
        cluster.failing = set()
        cluster.objects = [service_account()]
        return [await facts_of(cache), before]

    after, before = asyncio.run(during_an_outage())
    assert before is not None
    assert before.secrets
    assert after is not None
    assert not after.secrets


def test_stale_facts_are_used_when_a_read_exceeds_the_budget() -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache(Limits(jitter=0, budget=0.05, read_timeout=1))

    async def without_responses() -> tuple[Facts, Facts]:
        before = await facts_of(cache)
        cluster.responding.clear()
        cluster.now += 60
        return before, await facts_of(cache)

    before, after = asyncio.run(without_responses())
    cluster.responding.set()
    assert after == before
