"""Restricted namespaces, and users and groups of servers."""

import pytest

from tests.e2e.api import Object
from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from tests.node.servers import Web
from webhook.annotations import CACHE, PVC_MOUNT, READ_ONLY

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
WEIGHTS = {"weights.bin": MODEL["weights.bin"]}


def restricted(uri: str, annotations: dict[str, str] | None = None, **context: int) -> Object:
    """A pod that meets the Pod Security Standard `restricted`, with a user that is not the initializer's."""
    seccomp = {"type": "RuntimeDefault"}
    pod_context = {"runAsNonRoot": True, "runAsUser": 1001, "seccompProfile": seccomp, **context}
    pod = plain_pod(uri, annotations=annotations, securityContext=pod_context)
    container_context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod["spec"]["containers"][0]["securityContext"] = container_context
    return pod


@shared
def shared_namespace(cluster: Cluster) -> str:
    """A restricted namespace with the claim `models`."""
    name = cluster.namespace(RESTRICTED)
    cluster.claim(name, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    return name


@pytest.mark.parametrize("context", [{}, {"fsGroup": 2000}], ids=["without fsGroup", "with fsGroup"])
@case("`http://`, restricted namespace, user 1001 with and without fsGroup", "the file")
def test_download(cluster: Cluster, web: Web, context: dict[str, int]) -> None:
    namespace = shared_namespace(cluster)
    url = web.put("restricted", WEIGHTS)
    read = cluster.report(namespace, restricted(f"{url}/weights.bin", **context))
    assert read.files == digests(WEIGHTS)
    assert read.user[0] == 1001


@case("`pvc://`, restricted namespace, mounted and copied", "every file")
@pytest.mark.parametrize("annotations", [{}, {str(PVC_MOUNT): "copy"}], ids=["mounted", "copied"])
def test_claim(cluster: Cluster, annotations: dict[str, str]) -> None:
    namespace = shared_namespace(cluster)
    assert cluster.report(namespace, restricted("pvc://models/bert", annotations)).files == digests(MODEL)


@case("shared cache, restricted namespace, claim that only its group may write to", "the file in both pods; one GET")
def test_cache_of_a_group(cluster: Cluster, web: Web) -> None:
    namespace = shared_namespace(cluster)
    url = web.put("group", WEIGHTS)
    directory = cluster.claim(namespace, "shared", {}, driver="local")
    directory.chmod(0o755)
    pods = [restricted(f"{url}/weights.bin", {str(CACHE): "pvc://shared/models"}, fsGroup=2000) for _ in range(2)]
    for name in [cluster.create(namespace, pod) for pod in pods]:
        cluster.await_end(namespace, name)
        assert cluster.read_report(namespace, name).files == digests(WEIGHTS)
    assert web.log.count("/group/weights.bin") == 1


@case("shared cache, claim whose driver ignores fsGroup", "the reason and the driver in the pod's status")
def test_driver_without_groups(cluster: Cluster, web: Web) -> None:
    namespace = shared_namespace(cluster)
    url = web.put("ignored", WEIGHTS)
    cluster.claim(namespace, "ignoring", {}).chmod(0o755)
    pod = restricted(f"{url}/weights.bin", {str(CACHE): "pvc://ignoring/models"}, fsGroup=2000)
    assert "driver" in cluster.failure(namespace, pod)


@case('`http://`, `readonly: "false"`, with the user of the download', "the file; writing to it succeeds")
def test_writable_download(cluster: Cluster, web: Web) -> None:
    namespace = shared_namespace(cluster)
    url = web.put("writable", WEIGHTS)
    read = cluster.report(namespace, restricted(f"{url}/weights.bin", {str(READ_ONLY): "false"}), WRITE="1")
    assert read.appended == {"weights.bin": "ok"}


@case('`http://`, `readonly: "false"`, with another user', "a warning; writing to the file fails (EACCES)")
def test_other_users_files(cluster: Cluster, web: Web) -> None:
    url, namespace = web.put("others", WEIGHTS), cluster.namespace()
    pod = plain_pod(f"{url}/weights.bin", annotations={str(READ_ONLY): "false"})
    pod["spec"]["containers"][0]["securityContext"] = {"runAsUser": 1001}
    assert "runAsUser to 1001" in cluster.warnings(namespace, pod)
    assert cluster.report(namespace, pod, WRITE="1").appended == {"weights.bin": "EACCES"}
