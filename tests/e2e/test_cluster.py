"""Facts from a real API server: equal to facts from manifests, few reads, clear errors, no secret values."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes.client import ApiClient
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster_objects import claim, secret, service_account, storage_container
from tests.controlplane.plane import ControlPlane
from tests.mutation import JsonObject, kserve_pod, plain_pod
from tests.planted import PODS, leaks, planted_cluster
from webhook.admission import pods
from webhook.cluster.facts import Facts
from webhook.cluster.kinds import SECRET, Key
from webhook.cluster.reader import ClusterReader, cluster_facts
from webhook.errors import LookupFailed
from webhook.kubernetes_api.client import api_client
from webhook.metrics import Metrics
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.server.app import create_app
from webhook.server.context import Webhook
from webhook.settings.model import Settings
from webhook.settings.parse import parse
from webhook.settings.source import EmbeddedSettings

DEFAULTS = Settings()
HF = secret("hub", {"HF_TOKEN": "x"})


def requested(pod: JsonObject, namespace: str, settings: Settings = DEFAULTS) -> ModelRequest:
    wanted = pods.read(pod, namespace, settings)
    assert isinstance(wanted, ModelRequest)
    return wanted


def facts_of(plane: ControlPlane, pod: JsonObject, namespace: str, settings: Settings = DEFAULTS) -> Facts:
    with plane.client() as client:
        return asyncio.run(cluster_facts(client, Metrics()).lookup(requested(pod, namespace, settings), settings))


PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "ClusterStorageContainer": "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers",
}


def create(plane: ControlPlane, namespace: str, *objects: JsonObject) -> list[JsonObject]:
    """Create the objects in the namespace. Returns their manifests. Replaces the default service account."""
    placed = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in objects]
    with plane.http() as http:
        for each in placed:
            path = PATHS[each["kind"]].format(namespace=namespace)
            name = f"{path}/{each['metadata']['name']}"
            created = http.put(name, json=each) if each["kind"] == "ServiceAccount" else http.post(path, json=each)
            assert created.is_success, created.text
    return placed


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.namespace(f"facts-{uuid.uuid4().hex[:8]}")


def sized(name: str, *modes: str) -> JsonObject:
    made = claim(name, *modes)
    made["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    return made


def test_facts_equal_those_from_manifests(control_plane: ControlPlane, namespace: str) -> None:
    settings, _ = parse({"storageDefaults": {"claims": {"read": True}}})
    held = create(control_plane, namespace, *planted_cluster()[:-2], sized("models", "ReadWriteOnce"))
    for pod in (*PODS.values(), plain_pod("pvc://models/m"), plain_pod("pvc://gone/m")):
        found = facts_of(control_plane, pod, namespace, settings)
        assert found == FactsFile(held).facts(requested(pod, namespace, settings), settings)


def test_no_secret_value_is_cached_or_logged(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    create(control_plane, namespace, *planted_cluster()[:-2])
    metrics, settings, results = Metrics(), Settings(), []
    with control_plane.client() as client:
        cache = cluster_facts(client, metrics)
        for pod in PODS.values():
            request = requested(pod, namespace)
            facts = asyncio.run(cache.lookup(request, settings))
            results += [repr(pods.apply(pod, request, settings, facts)), repr(facts)]
        cached = pickle.dumps(list(cache._store._found.values()))
    assert b"HF_TOKEN" in cached, "the cache is empty"
    assert not leaks(cached)
    assert not leaks("\n".join(results))
    assert not leaks(caplog.text)
    assert not leaks(generate_latest(metrics.registry))


def test_burst_of_300_pods_needs_few_reads(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, service_account("hub"), HF)
    before = reads(control_plane)
    with control_plane.client() as client:
        responses = asyncio.run(admit(client, namespace, 300))
    assert all(response["allowed"] for response in responses)
    assert all("patch" in response for response in responses)
    after = reads(control_plane)
    assert 0 < after - before <= 10


async def admit(client: ApiClient, namespace: str, pods: int) -> list[JsonObject]:
    """The webhook's responses for this number of pods, sent concurrently."""
    settings = EmbeddedSettings()
    await settings.start()
    metrics = Metrics()
    app = create_app(Webhook(settings, cluster_facts(client, metrics), metrics))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://webhook") as http:
        sent = [http.post("/mutate-pods", json=review(namespace, number)) for number in range(pods)]
        return [response.json()["response"] for response in await asyncio.gather(*sent)]


def review(namespace: str, number: int) -> JsonObject:
    request = {
        "uid": str(number),
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace,
        "object": plain_pod("hf://org/model"),
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


READ = {"serviceaccounts", "secrets", "clusterstoragecontainers", ""}
"""Resources that the webhook reads. The API server reports unknown resources as ""."""


def reads(plane: ControlPlane) -> float:
    """The number of reads of these resources, from the API server's metrics."""
    with plane.http() as http:
        lines = http.get("/metrics").text.splitlines(keepends=True)
    # Parse only this metric, because there are ten thousand others.
    families = text_string_to_metric_families("".join(line for line in lines if "apiserver_request_total" in line))
    return sum(
        sample.value
        for family in families
        if family.name == "apiserver_request"
        for sample in family.samples
        if sample.name == "apiserver_request_total"
        and sample.labels["verb"] in ("GET", "LIST")
        and sample.labels["resource"] in READ
        and sample.labels["code"] != "0"
        and not (sample.labels["resource"] == "" and sample.labels["code"] != "404")
    )


def test_missing_permissions_are_named(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, service_account("hub"), HF)
    kubeconfig = control_plane.user(f"nobody-{namespace}")
    message = lookup_error(kubeconfig, namespace)
    assert "get serviceaccounts" in message
    allow(control_plane, namespace, f"nobody-{namespace}")
    message = lookup_error(kubeconfig, namespace)
    assert f'not allowed to read Secret "hub" in namespace "{namespace}"' in message
    assert "get secrets" in message


def lookup_error(kubeconfig: Path, namespace: str) -> str:
    cache = cluster_facts(api_client(str(kubeconfig)), Metrics())
    with pytest.raises(LookupFailed) as raised:
        asyncio.run(cache.lookup(requested(plain_pod("hf://org/model"), namespace), Settings()))
    return str(raised.value)


def allow(plane: ControlPlane, namespace: str, user: str) -> None:
    """Allow the user to read service accounts only."""
    rules = [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}]
    role = {"metadata": {"name": user}, "rules": rules}
    binding = {
        "metadata": {"name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": user, "apiGroup": "rbac.authorization.k8s.io"},
    }
    with plane.http() as http:
        for path, body in (("clusterroles", role), ("clusterrolebindings", binding)):
            made = http.post(f"/apis/rbac.authorization.k8s.io/v1/{path}", json=body)
            assert made.is_success, made.text


def test_storage_containers_without_permission_are_not_used(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = api_client(str(control_plane.user(f"nobody-{namespace}")))
    pod = plain_pod("pvc://models/m", annotations={"storage.kserve.io/pvc-mount": "copy"})
    with storage_container_crd(control_plane):
        create(control_plane, namespace, storage_container(f"a-{namespace}", "pvc://"))
        facts = asyncio.run(cluster_facts(client, Metrics()).lookup(requested(pod, namespace), DEFAULTS))
    assert facts.storage_containers == ()
    assert "RBAC does not allow to list clusterstoragecontainers.serving.kserve.io" in caplog.text


@contextmanager
def storage_container_crd(plane: ControlPlane) -> Iterator[None]:
    """Registers KServe's ClusterStorageContainer, without its schema."""
    group, plural = "serving.kserve.io", "clusterstoragecontainers"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "singular": plural[:-1], "kind": "ClusterStorageContainer"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    with plane.http() as http:
        assert http.post(path, json=body).is_success
        until(lambda: http.get(PATHS["ClusterStorageContainer"]).is_success)
        try:
            yield
        finally:
            http.delete(f"{path}/{plural}.{group}")
            until(lambda: not http.get(PATHS["ClusterStorageContainer"]).is_success)


def until(done: Any) -> None:
    """Wait for a condition, for 30 seconds at most."""
    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    pytest.fail("timed out")


def test_cluster_storage_containers_with_and_without_the_resource(control_plane: ControlPlane, namespace: str) -> None:
    pod = kserve_pod("s3://b/m", annotations={"internal.serving.kserve.io/storage-container-name": f"b-{namespace}"})
    assert facts_of(control_plane, pod, namespace).storage_containers == ()
    with storage_container_crd(control_plane), control_plane.client() as client:
        cache = cluster_facts(client, Metrics())
        request, settings = requested(pod, namespace), Settings()
        create(control_plane, namespace, storage_container(f"c-{namespace}", "~^s3://", top={"disabled": True}))
        assert len(asyncio.run(cache.lookup(request, settings)).storage_containers) == 1
        held = create(control_plane, namespace, storage_container(f"b-{namespace}", "s3://"))
        # The pod names one that is not in the cached list.
        found = asyncio.run(cache.lookup(request, settings)).storage_containers
        assert [each.name for each in found] == [f"b-{namespace}", f"c-{namespace}"]
        assert found[0] == FactsFile(held).facts(request, settings).storage_containers[0]
        assert [each.disabled for each in found] == [False, True]


def test_new_secret_is_seen_immediately(control_plane: ControlPlane, namespace: str) -> None:
    request, settings = requested(plain_pod("hf://org/model"), namespace), Settings()
    create(control_plane, namespace, service_account("hub"))
    with control_plane.client() as client:
        cache = cluster_facts(client, Metrics())
        assert asyncio.run(cache.lookup(request, settings)).secrets == {"hub": None}
        create(control_plane, namespace, HF)
        assert asyncio.run(cache.lookup(request, settings)).secrets["hub"] is not None


def test_api_server_outage_and_recovery(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, HF)
    with control_plane.client() as client:
        read = ClusterReader(client)
        key = Key(SECRET, namespace, "hub")
        assert read(key, 2) is not None
        control_plane.stop_apiserver()
        try:
            with pytest.raises(LookupFailed, match="try again") as raised:
                read(key, 2)
        finally:
            control_plane.start_apiserver()
        assert not leaks("".join(traceback.format_exception(raised.value)))
        assert read(key, 2) is not None
