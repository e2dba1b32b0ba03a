"""The memory of cached facts: what is kept of objects, and for how long."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc

import pytest
from msgspec import structs

from tests.cluster.fake_cluster import OBJECTS, READ_CLAIMS, SPEC, STEADY, Cluster, facts_of, requested
from tests.cluster_objects import secret as secret_object
from tests.cluster_objects import service_account, storage_container
from tests.mutation import JsonObject, kserve_pod, plain_pod
from webhook.cluster.fact_cache import Limits

NO_NAME = "x" * 200_000
SECRET_ANNOTATION = "serving.kserve.io/storageSecretName"

NO_NAMES: dict[str, JsonObject] = {
    "a Secret": plain_pod("s3://b/m", annotations={SECRET_ANNOTATION: NO_NAME}),
    "an account": plain_pod("s3://b/m", serviceAccountName=NO_NAME),
    "a pull secret": plain_pod("oci+fetch://r/m", imagePullSecrets=[{"name": NO_NAME}]),
    "a storage-config": kserve_pod(
        "s3://b/m", annotations={"internal.serving.kserve.io/storage-spec": "true", SECRET_ANNOTATION: NO_NAME}
    ),
    "an entry": kserve_pod(
        "s3://b/m",
        annotations={
            "internal.serving.kserve.io/storage-spec": "true",
            "internal.serving.kserve.io/storage-spec-key": NO_NAME,
        },
    ),
    "a cache claim": plain_pod("s3://b/m", annotations={"storage.kserve.io/cache": f"pvc://{'a' * 254}"}),
}


@pytest.mark.parametrize("pod", NO_NAMES.values(), ids=NO_NAMES)
def test_what_can_be_no_name_is_neither_read_nor_kept(pod: JsonObject) -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()
    asyncio.run(cache.lookup(*requested(pod, READ_CLAIMS | {"storageInitializer": {"ociModelMode": "fetch"}})))
    assert not any(NO_NAME[:200] in key for key in cluster.reads)
    assert cache.size < 10_000


@pytest.mark.parametrize("namespace", ["", "../kube-system", "a/b", "A", "x" * 3_000_000])
def test_nothing_is_read_in_what_can_be_no_namespace(namespace: str) -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()
    request, settings = requested()
    asyncio.run(cache.lookup(structs.replace(request, namespace=namespace), settings))
    assert set(cluster.reads) == {"ClusterStorageContainer"}
    assert cache.size < 10_000


MANY_KEYS = {f"{number:04x}": "" for number in range(50_000)}


def test_keys_that_tell_nothing_are_not_kept() -> None:
    names = [f"s-{number}" for number in range(8)]
    cluster = Cluster(service_account(*names), *(secret_object(name, MANY_KEYS | {"our-key": "x"}) for name in names))
    cache = cluster.cache()
    facts = asyncio.run(facts_of(cache))
    assert not any(secret.keys for secret in facts.secrets.values() if secret)
    assert cache.size < 20_000


def test_keys_that_the_settings_name_count_as_soon_as_they_do() -> None:
    cluster = Cluster(service_account("s"), secret_object("s", MANY_KEYS | {"our-key": "x"}))
    cache = cluster.cache()
    asyncio.run(facts_of(cache))
    for settings in (
        {"credentials": {"s3": {"s3SecretAccessKeyName": "our-key"}}},
        {"credentials": {"gcs": {"gcsCredentialFileName": "our-key"}}},
    ):
        secret = asyncio.run(facts_of(cache, settings=settings)).secrets["s"]
        assert secret is not None
        assert secret.keys == {"our-key"}


def test_only_entries_of_the_storage_config_that_pods_can_mean_are_kept() -> None:
    entries = MANY_KEYS | {"mine": "{}", "default": "{}", "default_gs": "{}"} | {f"default_{n}": "" for n in range(500)}
    cluster = Cluster(secret_object("storage-config", entries))
    cache = cluster.cache()
    found = asyncio.run(facts_of(cache, SPEC)).storage_configs["storage-config"]
    assert found is not None
    assert {"mine", "default"} <= set(found)
    assert len(found) < 100
    assert cache.size < 100_000


def test_long_values_are_cut() -> None:
    annotations = {"serving.kserve.io/s3-region": "r" * 100_000}
    cluster = Cluster(
        service_account("s", *(f"x{n}" for n in range(5_000)), annotations=annotations),
        secret_object("s", {"awsSecretAccessKey": "x", "S3_ENDPOINT": "e" * 300_000}, annotations),
        secret_object("storage-config", {"mine": json.dumps({"type": "t" * 9_000, "bucket": "b" * 9_000})}),
    )
    cache = cluster.cache()
    asyncio.run(facts_of(cache))
    asyncio.run(facts_of(cache, SPEC))
    assert 1_000 < cache.size < 50_000


def big_secret(name: str) -> JsonObject:
    return secret_object(name, {"awsSecretAccessKey": "x", "S3_ENDPOINT": "é" * 1_000, "AWS_DEFAULT_REGION": "é" * 999})


def test_the_memory_of_cached_objects_is_bounded() -> None:
    names = [f"s-{number}" for number in range(60)]
    cluster = Cluster(service_account(*names), *map(big_secret, names), service_account("s-0", name="other"))
    limits = Limits(jitter=0, bytes=100_000, waiting_per_namespace=1_000)
    cache = cluster.cache(limits)
    for name in names:
        asyncio.run(facts_of(cache, plain_pod("s3://b/m", annotations={SECRET_ANNOTATION: name})))
        assert cache.size <= limits.bytes
    assert cache.size > limits.bytes / 2, "there is space for more"
    asyncio.run(facts_of(cache, plain_pod("s3://b/m", annotations={SECRET_ANNOTATION: names[0]})))
    assert cluster.reads['Secret "s-0" in namespace "models"'] == 2, "the oldest was removed"


def test_the_size_of_the_cache_is_about_what_it_takes() -> None:
    names = [f"s-{number}" for number in range(500)]
    cluster = Cluster(*map(big_secret, names))
    cache = cluster.cache(Limits(jitter=0))
    requests = [requested(plain_pod("s3://b/m", annotations={SECRET_ANNOTATION: name})) for name in names]
    asyncio.run(cache.lookup(*requests.pop()))
    gc.collect()
    tracemalloc.start()
    try:
        before = cache.size
        for request, settings in requests:
            asyncio.run(cache.lookup(request, settings))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 < (cache.size - before) / taken < 2


def test_an_object_counts_once_however_often_it_is_read() -> None:
    cluster = Cluster(*OBJECTS)
    cache = cluster.cache()
    sizes = []
    for objects in (OBJECTS, OBJECTS, [service_account("s")], [service_account("s")], OBJECTS, OBJECTS):
        cluster.objects = list(objects)
        asyncio.run(facts_of(cache))
        sizes.append(cache.size)
        cluster.now += STEADY.found + 1
    assert sizes[1] == sizes[0]
    assert sizes[3] == sizes[2] < sizes[0], "the Secret was deleted, and then only its name is known"
    assert sizes[4:] == sizes[:2]


def test_a_large_list_does_not_empty_the_cache_for_good() -> None:
    cluster = Cluster(*OBJECTS, *(storage_container(f"c-{number}", "models://") for number in range(100)))
    cache = cluster.cache(Limits(jitter=0, bytes=20_000))
    facts = asyncio.run(facts_of(cache))
    assert len(facts.storage_containers) == 100
    assert facts.secrets["s"] is not None


def test_what_nobody_can_use_any_more_is_removed() -> None:
    cluster = Cluster(service_account())
    cache = cluster.cache()
    for number in range(200):
        asyncio.run(facts_of(cache, plain_pod("s3://b/m", serviceAccountName=f"unknown-{number}")))
    assert cache.size > 50_000
    cluster.now += STEADY.not_found + 1
    asyncio.run(facts_of(cache))
    after_the_flood = cache.size
    assert after_the_flood < 5_000
    cluster.now += STEADY.stale + 1
    asyncio.run(facts_of(cache, plain_pod("s3://b/m", serviceAccountName="unknown")))
    assert cache.size < after_the_flood + 2_000, "found objects are also removed in the end"
