"""Restarts of containers, of the kubelet and of the node."""

from contextlib import suppress

import psutil

from tests.e2e.api import Object, eventually
from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import INITIALIZER, Cluster, state_of
from tests.node.concurrency import alone
from tests.node.images import MODEL as IMAGE_MODEL
from tests.node.images import MODELCAR
from tests.node.servers import Web

WEIGHTS = {"weights.bin": MODEL["weights.bin"]}


@case("`http://`, the kubelet restarts in the middle of the download", "the file; one GET")
@alone
def test_kubelet_restarts(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("kubelet", WEIGHTS)
    with web.holding("/kubelet/weights.bin") as hold:
        name = cluster.create(namespace, plain_pod(f"{url}/weights.bin"))
        assert hold.started.wait(120)
        (kubelet,) = cluster.node.named("kubelet")
        kubelet.terminate()
        eventually(lambda: [each.pid for each in cluster.node.named("kubelet")] not in ([], [kubelet.pid]))
    cluster.await_end(namespace, name)
    assert cluster.read_report(namespace, name).files == digests(WEIGHTS)
    assert web.log.count("/kubelet/weights.bin") == 1


@case("`http://`, `pvc://` and `oci+modelcar://`, the node restarts", "every file, again")
@alone
def test_node_restarts(cluster: Cluster, web: Web) -> None:
    """All processes of the node are killed. The pods stay, and their containers are created again."""
    namespace, url = cluster.namespace(), web.put("node", WEIGHTS)
    cluster.claim(namespace, "models", WEIGHTS)
    expected = {
        f"{url}/weights.bin": WEIGHTS,
        "pvc://models": WEIGHTS,
        f"oci+modelcar://{MODELCAR}": IMAGE_MODEL,
    }
    pods = {
        cluster.create(namespace, serving(uri), WAIT_FOR=arrival(files), STAY="1"): uri
        for uri, files in expected.items()
    }
    for name, uri in pods.items():
        assert cluster.serving_report(namespace, name).files == digests(expected[uri])
    for process in cluster.node.services_and_containers():
        with suppress(psutil.NoSuchProcess):  # it ended with another one
            process.kill()
    for name, uri in pods.items():
        assert cluster.serving_report(namespace, name, restarts=1).files == digests(expected[uri])
    assert web.log.count("/node/weights.bin") == 2


def serving(uri: str) -> Object:
    return plain_pod(uri, restartPolicy="Always")


def arrival(files: dict[str, bytes]) -> str:
    return f"/mnt/models/{next(iter(files))}"


@case("native sidecar before the download", "the file; the sidecar runs during the download")
def test_native_sidecar(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("sidecar", WEIGHTS)
    proxy = {
        "name": "proxy",
        "image": "example.com/server:1",
        "restartPolicy": "Always",
        "command": ["sleep", "infinity"],
    }
    with web.holding("/sidecar/weights.bin") as hold:
        name = cluster.create(namespace, plain_pod(f"{url}/weights.bin", initContainers=[proxy]))
        assert hold.started.wait(120)
        cluster.wait_pod(namespace, name, lambda pod: "running" in state_of(pod, INITIALIZER))
        pod = cluster.api.http.get(f"/api/v1/namespaces/{namespace}/pods/{name}").json()
        assert "running" in state_of(pod, "proxy")
    cluster.await_end(namespace, name)
    assert cluster.read_report(namespace, name).files == digests(WEIGHTS)
