"""Limits of disk, by which the kubelet evicts pods."""

import pytest

from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.servers import Web
from webhook.annotations import EPHEMERAL_STORAGE_LIMIT

WEIGHTS = {"weights.bin": MODEL["weights.bin"]}
LIMIT = {str(EPHEMERAL_STORAGE_LIMIT): "2Mi"}
FILL = "4000000"


def evicted(pod: dict[str, dict[str, str]]) -> bool:
    return pod["status"].get("reason") == "Evicted"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> str:
    return cluster.namespace()


@pytest.fixture(scope="module")
def pods(cluster: Cluster, namespace: str, web: Web) -> dict[str, str]:
    """Three servers that write more than 2 MB. All start before the first test, because evictions take a while."""
    url = f"{web.put('limited', WEIGHTS)}/weights.bin"
    alone = plain_pod(url, annotations=LIMIT, restartPolicy="Always")
    both = plain_pod(url, annotations=LIMIT, restartPolicy="Always")
    both["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "100Mi"}}
    assert "ephemeral-storage limit" in cluster.warnings(namespace, alone)
    assert "ephemeral-storage limit" not in cluster.warnings(namespace, both)
    large = plain_pod(f"{web.put('big', {'big.bin': bytes(6_000_000)})}/big.bin", restartPolicy="Always")
    with cluster.installation.changed("storageDefaults", emptyDir={"sizeLimit": "2Mi"}):
        small = cluster.create(namespace, large, STAY="1")
    alone_name, both_name = (cluster.create(namespace, pod, FILL=FILL, STAY="1") for pod in (alone, both))
    return {"volume": small, "alone": alone_name, "both": both_name}


@case("ephemeral-storage limit of the init container alone", "a warning; the server that writes more is evicted")
def test_limit_of_the_init_container(cluster: Cluster, namespace: str, pods: dict[str, str]) -> None:
    pod = cluster.wait_pod(namespace, pods["alone"], evicted)
    assert "ephemeral" in pod["status"]["message"]


@case("`emptyDir.sizeLimit`, model that is larger", "the pod is evicted, with the volume's name in its status")
def test_size_limit(cluster: Cluster, namespace: str, pods: dict[str, str]) -> None:
    pod = cluster.wait_pod(namespace, pods["volume"], evicted)
    assert 'EmptyDir volume "kserve-provision-location" exceeds the limit' in pod["status"]["message"]


@case("ephemeral-storage limits of the init container and the server", "no warning; the file")
def test_limit_of_the_server(cluster: Cluster, namespace: str, pods: dict[str, str]) -> None:
    """The pod without a limit of its own, which wrote as much at the same time, is evicted by now."""
    assert cluster.serving_report(namespace, pods["both"]).files == digests(WEIGHTS)
