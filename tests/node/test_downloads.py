"""Downloads that are watched, that end, and that are checked."""

import json
from pathlib import Path

import pytest

from tests.e2e.api import Object
from tests.e2e.offline import kubectl
from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.servers import SIZE
from webhook import annotations as keys
from webhook.download.program.digest import digests as digests_of

WRONG = 64 * "0"


def _pod(uri: str, **annotations: str) -> Object:
    pod: Object = plain_pod(
        uri, annotations={f"{keys.PREFIX}{name.replace('_', '-')}": text for name, text in annotations.items()}
    )
    return pod


def _message(pod: Object, container: str = "storage-initializer") -> str | None:
    """The termination message of an init container, once it has ended; also of its attempt before."""
    for status in pod["status"].get("initContainerStatuses") or ():
        ended = status["state"].get("terminated") or status.get("lastState", {}).get("terminated")
        if status["name"] == container and ended:
            return str(ended.get("message"))
    return None


def _failure(cluster: Cluster, pod: Object, container: str = "storage-initializer") -> str:
    namespace = pod["metadata"].pop("namespace", None) or cluster.namespace()
    name = cluster.create(namespace, pod)
    done = cluster.wait_pod(namespace, name, lambda found: _message(found, container) is not None)
    return _message(done, container) or ""


@case("supervised `http://` download", "the result, read with kubectl's jsonpath")
def test_the_result_is_read_by_jsonpath(cluster: Cluster, failing_server: str) -> None:
    namespace = cluster.namespace()
    name = cluster.create(namespace, _pod(f"{failing_server}/whole.bin", supervise="true"))
    done = cluster.wait_pod(namespace, name, lambda pod: _message(pod) is not None)
    assert json.loads(_message(done) or "")["bytes"] == SIZE, cluster.explain(namespace, name)
    text = (Path(__file__).parents[2] / "docs" / "downloads.md").read_text()
    path = text.partition("-o jsonpath='")[2].partition("'")[0]
    read = kubectl(cluster.api.plane, "-n", namespace, "get", "pod", name, "-o", f"jsonpath={path}")
    assert json.loads(read) == json.loads(_message(done) or "")


@case("supervised download that is slow", "the lines of progress in its log while it runs")
def test_progress_is_in_the_log_while_the_download_runs(cluster: Cluster, failing_server: str) -> None:
    namespace = cluster.namespace()
    name = cluster.create(namespace, _pod(f"{failing_server}/part.bin", stall_timeout="10m"))
    cluster.wait_pod(namespace, name, _is_downloading)
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
    follow = {"container": "storage-initializer", "follow": "true"}
    with cluster.api.http.stream("GET", path, params=follow, timeout=120) as response:
        line = next(line for line in response.iter_lines() if " MiB in " in line)
    assert line.startswith(f"storage: downloading {failing_server}/part.bin: 1 MiB in ")


def _is_downloading(pod: Object) -> bool:
    return any("running" in status["state"] for status in pod["status"].get("initContainerStatuses") or ())


@pytest.mark.parametrize(("limit", "cause"), [("stall_timeout", "stalled"), ("download_timeout", "timeout")])
@case("supervised download from a server that stops sending", "the class of the failure; the progress in its log")
def test_a_server_that_stops_sending(cluster: Cluster, failing_server: str, limit: str, cause: str) -> None:
    assert _failure(cluster, _pod(f"{failing_server}/part.bin", **{limit: "15s"})).startswith(f"{cause}: ")


@pytest.mark.parametrize(
    ("path", "cause"), [("secret.bin", "credentials"), ("missing.bin", "not-found"), ("broken.bin", "network")]
)
@case("supervised download that fails", "the class of the failure")
def test_classes_of_failures(cluster: Cluster, failing_server: str, path: str, cause: str) -> None:
    assert _failure(cluster, _pod(f"{failing_server}/{path}", supervise="true")).startswith(f"{cause}: ")


@case("wrong digest: download, copy, shared cache", "the class of the failure; nothing is left in the cache")
@pytest.mark.parametrize("way", ["download", "copy", "cache"])
def test_a_wrong_digest(cluster: Cluster, failing_server: str, way: str) -> None:
    namespace = cluster.namespace()
    directory = cluster.claim(namespace, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    uri = "pvc://models/bert" if way == "copy" else f"{failing_server}/whole.bin"
    more = {"copy": {"pvc_mount": "copy"}, "cache": {"cache": "pvc://models/cache"}}.get(way, {})
    pod = _pod(uri, sha256=WRONG, **more)
    pod["metadata"]["namespace"] = namespace
    assert _failure(cluster, pod).startswith("digest: ")
    # The kubelet tries again at once, so temporary names may be there. No model has its final name.
    assert [path.name for path in directory.glob("cache/*") if not path.name.startswith(".")] == []


@case("wrong and right digest of a mounted claim", "the class of the failure; every file with the right one")
def test_the_digest_of_a_mounted_claim(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    directory = cluster.claim(namespace, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    wrong = _pod("pvc://models/bert", sha256=WRONG)
    wrong["metadata"]["namespace"] = namespace
    assert _failure(cluster, wrong, "storage-digest").startswith("digest: ")
    right = _pod("pvc://models/bert", sha256=digests_of(str(directory / "bert"))[0])
    right["metadata"]["name"] = "checked"
    read = cluster.report(namespace, right)
    assert read.files == digests(MODEL)
