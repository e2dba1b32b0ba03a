"""Facts from a real API server: the same as from manifests, few reads, refusals in words, and no secret text."""

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
from tests.planted import ASKING, leaks, planted_cluster
from webhook import admission
from webhook.app import create_app
from webhook.cluster import ClusterReader, cluster_facts
from webhook.context import Webhook
from webhook.errors import LookupFailed
from webhook.facts import Facts
from webhook.facts_file import FactsFile
from webhook.kube import api_client
from webhook.metrics import Metrics
from webhook.objects import SECRET, Key
from webhook.request import ModelRequest
from webhook.settings.model import Settings
from webhook.settings.parse import parse
from webhook.settings.source import EmbeddedSettings

DEFAULTS = Settings()
HF = secret("hub", {"HF_TOKEN": "x"})


def requested(pod: JsonObject, namespace: str, settings: Settings = DEFAULTS) -> ModelRequest:
    wanted = admission.ask(pod, namespace, settings)
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
    """The objects, created in the namespace (over the default service account), as manifests of that namespace."""
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


def test_facts_are_the_same_as_from_manifests(control_plane: ControlPlane, namespace: str) -> None:
    settings, _ = parse({"storageDefaults": {"claims": {"read": True}}})
    held = create(control_plane, namespace, *planted_cluster()[:-2], sized("models", "ReadWriteOnce"))
    for pod in (*ASKING.values(), plain_pod("pvc://models/m"), plain_pod("pvc://gone/m")):
        found = facts_of(control_plane, pod, namespace, settings)
        assert found == FactsFile(held).facts(requested(pod, namespace, settings), settings)


def test_no_secret_text_is_kept_or_logged(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    create(control_plane, namespace, *planted_cluster()[:-2])
    metrics, settings, answers = Metrics(), Settings(), []
    with control_plane.client() as client:
        cache = cluster_facts(client, metrics)
        for pod in ASKING.values():
            request = requested(pod, namespace)
            facts = asyncio.run(cache.lookup(request, settings))
            answers += [repr(admission.settle(pod, request, settings, facts)), repr(facts)]
        kept = pickle.dumps(cache._entries)
    assert b"HF_TOKEN" in kept, "nothing was kept at all"
    assert not leaks(kept)
    assert not leaks("\n".join(answers))
    assert not leaks(caplog.text)
    assert not leaks(generate_latest(metrics.registry))


def test_a_burst_of_300_pods_costs_few_reads(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, service_account("hub"), HF)
    before = reads(control_plane)
    with control_plane.client() as client:
        answers = asyncio.run(admit(client, namespace, 300))
    assert all(answer["allowed"] for answer in answers)
    assert all("patch" in answer for answer in answers)
    after = reads(control_plane)
    assert 0 < after - before <= 10


async def admit(client: ApiClient, namespace: str, pods: int) -> list[JsonObject]:
    """The webhook's answers about so many pods that are created at once."""
    settings = EmbeddedSettings()
    await settings.start()
    metrics = Metrics()
    app = create_app(Webhook(settings, cluster_facts(client, metrics), metrics))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://webhook") as http:
        sent = [http.post("/mutate-pods", json=review(namespace, number)) for number in range(pods)]
        return [answer.json()["response"] for answer in await asyncio.gather(*sent)]


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
"""Resources that we read; "" is what the API server says of a resource that it does not have."""


def reads(plane: ControlPlane) -> float:
    """How many reads of what we read the API server has answered, by its own count."""
    with plane.http() as http:
        lines = http.get("/metrics").text.splitlines(keepends=True)
    # Read alone: there are ten thousand others.
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


def test_what_rbac_forbids_is_said_in_words(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, service_account("hub"), HF)
    kubeconfig = control_plane.user(f"nobody-{namespace}")
    message = refusal(kubeconfig, namespace)
    assert "get serviceaccounts" in message
    allow(control_plane, namespace, f"nobody-{namespace}")
    message = refusal(kubeconfig, namespace)
    assert f'may not read Secret "hub" in namespace "{namespace}"' in message
    assert "get secrets" in message


def refusal(kubeconfig: Path, namespace: str) -> str:
    cache = cluster_facts(api_client(str(kubeconfig)), Metrics())
    with pytest.raises(LookupFailed) as raised:
        asyncio.run(cache.lookup(requested(plain_pod("hf://org/model"), namespace), Settings()))
    return str(raised.value)


def allow(plane: ControlPlane, namespace: str, user: str) -> None:
    """Service accounts and nothing else."""
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


def test_storage_containers_that_may_not_be_read_are_not_used(
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
    """KServe's ClusterStorageContainer as a resource of the API server, without its schema."""
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
    """Wait, for half a minute at most, until something is so."""
    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    pytest.fail("the API server did not get there")


def test_cluster_storage_containers_with_and_without_the_resource(control_plane: ControlPlane, namespace: str) -> None:
    pod = kserve_pod("s3://b/m", annotations={"internal.serving.kserve.io/storage-container-name": f"b-{namespace}"})
    assert facts_of(control_plane, pod, namespace).storage_containers == ()
    with storage_container_crd(control_plane), control_plane.client() as client:
        cache = cluster_facts(client, Metrics())
        request, settings = requested(pod, namespace), Settings()
        create(control_plane, namespace, storage_container(f"c-{namespace}", "~^s3://", top={"disabled": True}))
        assert len(asyncio.run(cache.lookup(request, settings)).storage_containers) == 1
        held = create(control_plane, namespace, storage_container(f"b-{namespace}", "s3://"))
        # The one that the pod names was not in the list that is remembered.
        found = asyncio.run(cache.lookup(request, settings)).storage_containers
        assert [each.name for each in found] == [f"b-{namespace}", f"c-{namespace}"]
        assert found[0] == FactsFile(held).facts(request, settings).storage_containers[0]
        assert [each.disabled for each in found] == [False, True]


def test_a_secret_made_a_moment_ago_counts(control_plane: ControlPlane, namespace: str) -> None:
    request, settings = requested(plain_pod("hf://org/model"), namespace), Settings()
    create(control_plane, namespace, service_account("hub"))
    with control_plane.client() as client:
        cache = cluster_facts(client, Metrics())
        assert asyncio.run(cache.lookup(request, settings)).secrets == {"hub": None}
        create(control_plane, namespace, HF)
        assert asyncio.run(cache.lookup(request, settings)).secrets["hub"] is not None


def test_without_the_api_server_and_with_it_again(control_plane: ControlPlane, namespace: str) -> None:
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
