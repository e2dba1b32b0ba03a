"""Namespaces with Pod Security, a LimitRange or a ResourceQuota: what was admitted before is admitted with a model."""

import copy

import pytest

from tests.e2e.api import admitted
from tests.e2e.pods import PODS, add_credentials, unnamed
from tests.mutation import initializer, plain_pod

ENFORCE = "pod-security.kubernetes.io/enforce"
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
PROMISES = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


def asking(pod, pod_context=None, **fields):
    """The pod as a controller makes it, with these fields in each container."""
    pod = copy.deepcopy(unnamed(pod))
    pod["spec"] |= {"securityContext": pod_context} if pod_context else {}
    pod["spec"]["containers"] = [each | fields for each in pod["spec"]["containers"]]
    return pod


def served(installation, labels=None):
    """A new namespace with what the pods name."""
    namespace = installation.namespace(labels)
    add_credentials(installation.api, namespace)
    return namespace


@pytest.fixture(scope="module", params=["restricted", "baseline"])
def guarded(request, installation):
    """Two namespaces with the same Pod Security; the webhook serves the first."""
    labels = {ENFORCE: request.param}
    elsewhere = installation.elsewhere(labels)
    add_credentials(installation.api, elsewhere)
    return served(installation, labels), elsewhere


@pytest.mark.parametrize("where", ["pod", "containers"])
@pytest.mark.parametrize("name", PODS)
def test_pod_security_admits_what_it_admitted_before(installation, guarded, name, where):
    if where == "pod":
        pod = asking(PODS[name], pod_context=PROMISES, securityContext=CONTAINER)
    else:
        pod = asking(PODS[name], securityContext={**CONTAINER, **PROMISES})
    before = admitted(installation.api.create_pod(guarded[1], pod, dryRun="All"))
    after = admitted(installation.api.create_pod(guarded[0], pod, dryRun="All"))
    assert after["spec"] != before["spec"]


def test_baseline_admits_pods_that_promise_nothing(installation):
    namespace = served(installation, {ENFORCE: "baseline"})
    for pod in PODS.values():
        assert _is_injected(admitted(installation.api.create_pod(namespace, asking(pod), dryRun="All")), pod)


def _is_injected(made, pod):
    return _parts(made) > _parts(pod)


def _parts(pod):
    """What a pod consists of, but for the volume of its token."""
    fields = ("containers", "initContainers", "volumes")
    names = {(field, each["name"]) for field in fields for each in pod["spec"].get(field) or ()}
    return {(field, name) for field, name in names if not name.startswith("kube-api-access")}


def limit_range(namespace, memory):
    limits = [{"type": "Container", "max": {"cpu": "2", "memory": memory}}]
    metadata = {"name": "limits", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}}


LOWERED = {"storage.kserve.io/memory-limit": "512Mi"}


def test_a_limit_range_admits_what_fits_and_an_annotation_makes_it_fit(installation):
    namespace = served(installation)
    api = installation.api
    api.apply(limit_range(namespace, "1Gi")).raise_for_status()
    for pod in PODS.values():
        assert _is_injected(admitted(api.create_pod(namespace, asking(pod, resources=RESOURCES), dryRun="All")), pod)
    api.apply(limit_range(namespace, "512Mi")).raise_for_status()
    small = asking(plain_pod("s3://models/iris", annotations=LOWERED), resources=RESOURCES)
    assert _lets_in(api, namespace, small)
    refused = api.create_pod(namespace, asking(plain_pod("s3://models/iris"), resources=RESOURCES), dryRun="All")
    assert refused.status_code == 403
    assert "maximum memory usage per Container is 512Mi, but limit is 1Gi" in refused.json()["message"]


def _lets_in(api, namespace, pod):
    made = admitted(api.create_pod(namespace, pod, dryRun="All"))
    return initializer(made)["resources"]["limits"]["memory"] == LOWERED["storage.kserve.io/memory-limit"]


QUOTA = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "pods": "5"}


def test_a_quota_admits_what_fits(installation):
    """Also containers that ask for next to nothing say how much: a quota demands that of each."""
    namespace = served(installation)
    installation.api.plane.resource_quota(namespace, "enough", {**QUOTA, "limits.memory": "2Gi"})
    for pod in PODS.values():
        made = admitted(installation.api.create_pod(namespace, asking(pod, resources=RESOURCES), dryRun="All"))
        assert _is_injected(made, pod)


def test_a_quota_that_is_too_small_refuses_and_an_annotation_makes_it_fit(installation):
    namespace = served(installation)
    installation.api.plane.resource_quota(namespace, "small", {**QUOTA, "limits.memory": "512Mi"})
    pod = asking(plain_pod("s3://models/iris"), resources=RESOURCES)
    refused = installation.api.create_pod(namespace, pod, dryRun="All")
    assert refused.status_code == 403
    said = "exceeded quota: small, requested: limits.memory=1Gi, used: limits.memory=0, limited: limits.memory=512Mi"
    assert said in refused.json()["message"]
    small = asking(plain_pod("s3://models/iris", annotations=LOWERED), resources=RESOURCES)
    assert _lets_in(installation.api, namespace, small)
