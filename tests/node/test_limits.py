"""Limits of disk, by which the kubelet evicts pods."""

import pytest

from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from tests.node.servers import Web
from webhook.annotations import EPHEMERAL_STORAGE_LIMIT

pytestmark = pytest.mark.slow

WEIGHTS = {"weights.bin": MODEL["weights.bin"]}
LIMIT = {str(EPHEMERAL_STORAGE_LIMIT): "2Mi"}
FILL = "4000000"


def evicted(pod: dict[str, dict[str, str]]) -> bool:
    return pod["status"].get("reason") == "Evicted"


@shared
def pods(cluster: Cluster, web: Web) -> tuple[str, dict[str, str]]:
    """Three servers that write more than 2 MB, by name, and their namespace."""
    namespace = cluster.namespace()
    url = f"{web.put('limited', WEIGHTS)}/weights.bin"
    without = plain_pod(url, annotations=LIMIT, restartPolicy="Always")
    both = plain_pod(url, annotations=LIMIT, restartPolicy="Always")
    both["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "100Mi"}}
    assert "ephemeral-storage limit" in cluster.warnings(namespace, without)
    assert "ephemeral-storage limit" not in cluster.warnings(namespace, both)
    large = plain_pod(f"{web.put('big', {'big.bin': bytes(6_000_000)})}/big.bin", restartPolicy="Always")
    small = cluster.create(namespace, large, {"storageDefaults": {"emptyDir": {"sizeLimit": "2Mi"}}}, STAY="1")
    alone_name, both_name = (cluster.create(namespace, pod, FILL=FILL, STAY="1") for pod in (without, both))
    return namespace, {"volume": small, "alone": alone_name, "both": both_name}


@case("ephemeral-storage limit of the init container alone", "a warning; the server that writes more is evicted")
def test_limit_of_the_init_container(cluster: Cluster, web: Web) -> None:
    namespace, names = pods(cluster, web)
    pod = cluster.wait_pod(namespace, names["alone"], evicted)
    assert "ephemeral" in pod["status"]["message"]


@case("`emptyDir.sizeLimit`, model that is larger", "the pod is evicted, with the volume's name in its status")
def test_size_limit(cluster: Cluster, web: Web) -> None:
    namespace, names = pods(cluster, web)
    pod = cluster.wait_pod(namespace, names["volume"], evicted)
    assert 'EmptyDir volume "kserve-provision-location" exceeds the limit' in pod["status"]["message"]


@case("ephemeral-storage limits of the init container and the server", "no warning; the file")
def test_limit_of_the_server(cluster: Cluster, web: Web) -> None:
    """It runs on when the pod without a limit of its own, which wrote as much, is evicted."""
    namespace, names = pods(cluster, web)
    cluster.wait_pod(namespace, names["alone"], evicted)
    assert cluster.serving_report(namespace, names["both"]).files == digests(WEIGHTS)
