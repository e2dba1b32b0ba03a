"""The shared cache: pods that download one model once."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.e2e.api import Object, eventually
from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster, is_running, reading
from tests.node.concurrency import alone
from tests.node.node import name_of, parent_of
from tests.node.servers import Web
from webhook.annotations import CACHE
from webhook.download.command import STOCK_COMMAND

WEIGHTS = {"weights.bin": MODEL["weights.bin"]}
CACHED = {str(CACHE): "pvc://cache/models"}
INITIALIZER = "storage-initializer"


def cached(url: str, **spec: object) -> Object:
    return plain_pod(f"{url}/weights.bin", annotations=CACHED, **spec)


def deployment(pod: Object, replicas: int) -> Object:
    """A Deployment of servers that keep running."""
    labels = {"app": "server"}
    template = {key: value for key, value in reading(pod, STAY="1").items() if key in ("metadata", "spec")}
    template["metadata"] = {"annotations": pod["metadata"]["annotations"], "labels": labels}
    template["spec"]["restartPolicy"] = "Always"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def has_five_ready(stored: Object) -> bool:
    return bool(stored["status"].get("readyReplicas") == 5)


def pods_of(cluster: Cluster, namespace: str) -> list[str]:
    items = cluster.api.http.get(f"/api/v1/namespaces/{namespace}/pods").json()["items"]
    return [item["metadata"]["name"] for item in items]


@case("`http://`, shared cache, Deployment of five", "the file in all five; one GET")
@alone
def test_five_replicas_download_once(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("five", WEIGHTS)
    cluster.claim(namespace, "cache", {})
    cluster.apply(namespace, deployment(cached(url), 5))
    cluster.wait(f"/apis/apps/v1/namespaces/{namespace}/deployments", "server", has_five_ready)
    for name in pods_of(cluster, namespace):
        read = cluster.serving_report(namespace, name)
        assert read.files == digests(WEIGHTS)
        assert read.created == "EROFS"
    assert web.log.count("/five/weights.bin") == 1


def downloading(cluster: Cluster, namespace: str, name: str) -> list[psutil.Process]:
    """The programs of the cache in this pod that run a downloader now."""
    pod = cluster.api.http.get(f"/api/v1/namespaces/{namespace}/pods/{name}").json()
    (status,) = pod["status"]["initContainerStatuses"]
    processes = cluster.node.processes_of(status["containerID"].removeprefix("containerd://"))
    parents = (parent_of(each) for each in processes if name_of(each) == Path(STOCK_COMMAND[0]).name[:15])
    return [each for each in parents if each and (name := name_of(each)) and not name.startswith("containerd")]


@case("shared cache, the pod that downloads is killed", "the file in all three; the waiting pods name the writer")
def test_a_killed_writer_is_replaced(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("killed", WEIGHTS)
    cluster.claim(namespace, "cache", {})
    with web.holding("/killed/weights.bin") as hold:
        writer = cluster.create(namespace, cached(url, restartPolicy="OnFailure"))
        assert hold.started.wait(120)
        waiting = [cluster.create(namespace, cached(url, restartPolicy="OnFailure")) for _ in range(2)]
        for name in waiting:
            cluster.await_log(namespace, name, INITIALIZER, f"waiting for the download by pod {writer}")
        (program,) = downloading(cluster, namespace, writer)
        program.kill()
        eventually(lambda: web.log.count("/killed/weights.bin") == 2)
    for name in (writer, *waiting):
        cluster.await_end(namespace, name)
        assert cluster.read_report(namespace, name).files == digests(WEIGHTS)
    assert web.log.count("/killed/weights.bin") == 2


@case("shared cache, claim without room", "the reason in the pod's status; the claim holds no part of the model")
def test_a_full_claim_is_named(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("full", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {})
    cluster.node.mount("-t", "tmpfs", "-o", "size=128k,mode=777", "tmpfs", str(directory))
    message = cluster.failure(namespace, cached(url))
    assert "No space left" in message or "full" in message, message
    listed = cluster.node.run("find", str(directory), "-type", "f", "-size", "+0", "-name", "*.bin")
    assert listed == ""


def prune(cluster: Cluster, directory: Path, *options: str) -> str:
    """The output of `storage-webhook cache prune` for a full cache."""
    command = [sys.executable, "-m", "webhook", "cache", "prune", str(directory), "--max-size", "0", "--grace", "0s"]
    environ: Mapping[str, str] = {"KUBECONFIG": str(cluster.api.plane.kubeconfig), "PATH": ""}
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@case("shared cache, `cache prune --namespace` while a pod serves", "the file after the server's restart")
def test_a_model_in_use_is_not_pruned(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("used", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {}) / "models"
    name = cluster.create(namespace, cached(url, restartPolicy="Always"), STAY="1")
    cluster.wait_pod(namespace, name, is_running)
    prune(cluster, directory, "--namespace", namespace)
    cluster.kill_server(namespace, name)
    assert cluster.serving_report(namespace, name, restarts=1).files == digests(WEIGHTS)


@case("shared cache, `cache prune` without pods while a pod serves", "an empty directory after the server's restart")
def test_without_pods_a_model_in_use_is_pruned(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("unused", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {}) / "models"
    name = cluster.create(namespace, cached(url, restartPolicy="Always"), STAY="1")
    pod = cluster.wait_pod(namespace, name, is_running)
    (status,) = pod["status"]["initContainerStatuses"]
    assert "prune" in status["state"]["terminated"]["message"]
    assert "--namespace" in prune(cluster, directory)
    cluster.kill_server(namespace, name)
    assert cluster.serving_report(namespace, name, restarts=1).files == {}
