"""Injected pods in namespaces with Pod Security, a LimitRange or a ResourceQuota."""

import copy

import pytest

from tests.e2e.api import admitted
from tests.e2e.pods import PODS, add_credentials, unnamed
from tests.mutation import initializer, plain_pod

ENFORCE = "pod-security.kubernetes.io/enforce"
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD_FIELDS = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


def controller_pod(pod, pod_context=None, **fields):
    """The pod as a controller creates it, with these fields in each container."""
    pod = copy.deepcopy(unnamed(pod))
    pod["spec"] |= {"securityContext": pod_context} if pod_context else {}
    for field in ("initContainers", "containers"):
        if field in pod["spec"]:
            pod["spec"][field] = [each | fields for each in pod["spec"][field]]
    return pod


def served(installation, labels=None):
    """A new namespace with the credentials that the pods refer to."""
    namespace = installation.namespace(labels)
    add_credentials(installation.api, namespace)
    return namespace


@pytest.fixture(scope="module", params=["restricted", "baseline"])
def secured(request, installation):
    """Two namespaces with the same Pod Security level. The webhook serves the first."""
    labels = {ENFORCE: request.param}
    elsewhere = installation.elsewhere(labels)
    add_credentials(installation.api, elsewhere)
    return served(installation, labels), elsewhere


@pytest.mark.parametrize("where", ["pod", "containers"])
@pytest.mark.parametrize("name", PODS)
def test_pod_security_admits_injected_pods(installation, secured, name, where):
    if where == "pod":
        pod = controller_pod(PODS[name], pod_context=POD_FIELDS, securityContext=CONTAINER)
    else:
        pod = controller_pod(PODS[name], securityContext={**CONTAINER, **POD_FIELDS})
    before = admitted(installation.api.create_pod(secured[1], pod, dryRun="All"))
    after = admitted(installation.api.create_pod(secured[0], pod, dryRun="All"))
    assert after["spec"] != before["spec"]


def test_baseline_admits_pods_without_security_context(installation):
    namespace = served(installation, {ENFORCE: "baseline"})
    for pod in PODS.values():
        assert _is_injected(admitted(installation.api.create_pod(namespace, controller_pod(pod), dryRun="All")), pod)


def _is_injected(created, pod):
    return _parts(created) > _parts(pod)


def _parts(pod):
    """The containers and volumes of a pod, except the volume of its token."""
    fields = ("containers", "initContainers", "volumes")
    names = {(field, each["name"]) for field in fields for each in pod["spec"].get(field) or ()}
    return {(field, name) for field, name in names if not name.startswith("kube-api-access")}


def limit_range(namespace, memory):
    limits = [{"type": "Container", "max": {"cpu": "2", "memory": memory}}]
    metadata = {"name": "limits", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}}


LOWERED = {"storage.kserve.io/memory-limit": "512Mi"}


def test_limit_range_applies_to_injected_containers(installation):
    namespace = served(installation)
    api = installation.api
    api.apply(limit_range(namespace, "1Gi")).raise_for_status()
    for pod in PODS.values():
        assert _is_injected(
            admitted(api.create_pod(namespace, controller_pod(pod, resources=RESOURCES), dryRun="All")), pod
        )
    api.apply(limit_range(namespace, "512Mi")).raise_for_status()
    small = controller_pod(plain_pod("s3://models/iris", annotations=LOWERED), resources=RESOURCES)
    assert _is_admitted_with_lower_limit(api, namespace, small)
    rejected = api.create_pod(
        namespace, controller_pod(plain_pod("s3://models/iris"), resources=RESOURCES), dryRun="All"
    )
    assert rejected.status_code == 403
    assert "maximum memory usage per Container is 512Mi, but limit is 1Gi" in rejected.json()["message"]


def _is_admitted_with_lower_limit(api, namespace, pod):
    created = admitted(api.create_pod(namespace, pod, dryRun="All"))
    return initializer(created)["resources"]["limits"]["memory"] == LOWERED["storage.kserve.io/memory-limit"]


QUOTA = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "pods": "5"}


def test_quota_admits_pods_within_it(installation):
    """A quota requires requests and limits in every injected container."""
    namespace = served(installation)
    installation.api.plane.resource_quota(namespace, "enough", {**QUOTA, "limits.memory": "2Gi"})
    for pod in PODS.values():
        created = admitted(
            installation.api.create_pod(namespace, controller_pod(pod, resources=RESOURCES), dryRun="All")
        )
        assert _is_injected(created, pod)


def test_quota_rejects_pods_beyond_it_unless_an_annotation_lowers_the_limit(installation):
    namespace = served(installation)
    installation.api.plane.resource_quota(namespace, "small", {**QUOTA, "limits.memory": "512Mi"})
    pod = controller_pod(plain_pod("s3://models/iris"), resources=RESOURCES)
    rejected = installation.api.create_pod(namespace, pod, dryRun="All")
    assert rejected.status_code == 403
    message = "exceeded quota: small, requested: limits.memory=1Gi, used: limits.memory=0, limited: limits.memory=512Mi"
    assert message in rejected.json()["message"]
    small = controller_pod(plain_pod("s3://models/iris", annotations=LOWERED), resources=RESOURCES)
    assert _is_admitted_with_lower_limit(installation.api, namespace, small)
