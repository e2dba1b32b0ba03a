"""Two other webhooks change the pod between two calls of this one, at a real API server."""

from typing import Any

import pytest

from tests import reinvocation
from tests.e2e.api import admitted
from tests.e2e.other_webhooks import other_webhook
from tests.e2e.pods import unnamed
from tests.mutation import a_pod, container, mount_list, names, plain_pod, several

IMAGE = "registry.example.com/models/iris:1"
MESH = (reinvocation.proxy_first, reinvocation.native_sidecar_first, reinvocation.environment)
POLICY = (
    reinvocation.image_digests,
    reinvocation.registry_mirror,
    reinvocation.user_id_of_servers,
    reinvocation.recursive_read_only,
    reinvocation.labels,
)


def _once(changes: tuple[reinvocation.Change, ...], label: str) -> reinvocation.Change:
    """The changes, applied by the first call of the webhook only, as real injectors do."""

    def change(pod: dict[str, Any]) -> None:
        labels = pod["metadata"].setdefault("labels", {})
        if label not in labels:
            labels[label] = "done"
            for each in changes:
                each(pod)

    return change


@pytest.fixture(scope="module")
def shared_namespace(installation, authority, tmp_path_factory):
    """A namespace in which a mesh and a policy webhook change pods after this webhook's first call."""
    namespace = installation.namespace()
    mesh = {"name": "zz-mesh.example.com", "change": _once(MESH, "mesh.example.com/done")}
    policy = {"name": "zzz-policy.example.com", "change": _once(POLICY, "policy.example.com/done")}
    with (
        other_webhook(
            installation.api, authority, tmp_path_factory.mktemp("mesh"), namespace=namespace, **mesh
        ) as by_mesh,
        other_webhook(
            installation.api, authority, tmp_path_factory.mktemp("policy"), namespace=namespace, **policy
        ) as by_policy,
    ):
        yield namespace, by_mesh, by_policy


@pytest.mark.parametrize(
    "pod",
    [
        plain_pod("pvc://models/llama"),
        plain_pod("s3://models/llama"),
        plain_pod(f"oci+modelcar://{IMAGE}"),
        plain_pod(f"oci+native://{IMAGE}"),
        plain_pod(f"oci+fetch://{IMAGE}"),
        several(("pvc://models/base", "/mnt/base"), (f"oci+native://{IMAGE}", "/mnt/lora")),
        a_pod(annotations={"storage.kserve.io/uri": "s3://m/x", "storage.kserve.io/cache": "pvc://cache"}),
    ],
    ids=["claim", "download", "modelcar", "image volume", "fetched image", "several", "cache"],
)
def test_a_pod_that_others_change_between_the_calls_is_admitted_with_one_model(installation, shared_namespace, pod):
    namespace, by_mesh, by_policy = shared_namespace
    alone = admitted(installation.api.create_pod(installation.namespace(), unnamed(pod)))
    before = installation.webhook.admissions
    changed = admitted(installation.api.create_pod(namespace, unnamed(pod)))
    assert installation.webhook.admissions >= before + 2, "the webhook was not reinvoked"
    assert by_mesh
    assert by_policy
    added = {"linkerd-proxy", "mesh-sidecar"}
    for field in ("containers", "initContainers", "volumes"):
        theirs = {name for name in names(changed["spec"].get(field)) if not name.startswith("kube-api-access")}
        ours = {name for name in names(alone["spec"].get(field)) if not name.startswith("kube-api-access")}
        assert theirs - added == ours, field
    assert [mount["mountPath"] for mount in mount_list(changed, "linkerd-proxy")] == [
        "/var/run/secrets/kubernetes.io/serviceaccount"
    ]
    paths = [[mount["mountPath"] for mount in mount_list(each, "server")] for each in (changed, alone)]
    assert paths[0] == paths[1]
    assert all("mirror.example.com/" in each["image"] for each in changed["spec"]["containers"])


def test_the_modelcar_gets_the_user_id_that_a_policy_gave_the_server(installation, shared_namespace):
    pod = admitted(installation.api.create_pod(shared_namespace[0], unnamed(plain_pod(f"oci+modelcar://{IMAGE}"))))
    users = [container(pod, name)["securityContext"]["runAsUser"] for name in ("server", "modelcar")]
    assert users == [4711, 4711]
