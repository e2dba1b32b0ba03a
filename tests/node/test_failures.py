"""Models that cannot arrive: the pod's status says why."""

import pytest

from tests.e2e.api import Object
from tests.mutation import plain_pod
from tests.node.cases import MODEL, case
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from tests.node.network import NODE_IP
from tests.node.servers import Web
from webhook.annotations import CHECK_PATH, MEMORY_LIMIT, MEMORY_REQUEST, PVC_MOUNT

COPY = {str(PVC_MOUNT): "copy"}
PATH_CHECK = {str(CHECK_PATH): "true"}


@shared
def shared_namespace(cluster: Cluster, s3: str) -> str:
    """A namespace with the claim `models` and the credentials of the S3 server."""
    name = cluster.namespace()
    cluster.s3_account(name, s3)
    cluster.claim(name, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    return name


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        pytest.param(plain_pod("s3://absent/bert"), ["HeadBucket", "Not Found"], id="bucket"),
        pytest.param(plain_pod("s3://models/absent"), ["absent", "No model found"], id="key"),
        pytest.param(plain_pod(f"http://{NODE_IP}:1/weights.bin"), [NODE_IP, "refused"], id="host"),
        pytest.param(plain_pod("pvc://models/absent", annotations=COPY), ["absent"], id="path, copied"),
    ],
)
@case("missing bucket, key, host, or path of a copied claim", "the reason in the status of the init container")
def test_reason(cluster: Cluster, s3: str, pod: Object, words: list[str]) -> None:
    namespace = shared_namespace(cluster, s3)
    message = cluster.failure(namespace, pod)
    assert [word for word in words if word not in message] == [], message


@case("`pvc://`, missing path, `check-path`", "the reason in the status; the claim is unchanged")
def test_missing_path_with_check(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    directory = cluster.claim(namespace, "models", {"bert/weights.bin": b"w"})
    pod = plain_pod("pvc://models/brt", annotations=PATH_CHECK)
    assert "claim models has no path brt" in cluster.failure(namespace, pod, "storage-path-check")
    assert [path.name for path in directory.iterdir()] == ["bert"]


@case("`pvc://`, existing path, `check-path`", "the pod starts")
def test_existing_path_with_check(cluster: Cluster, s3: str) -> None:
    namespace = shared_namespace(cluster, s3)
    assert cluster.report(namespace, plain_pod("pvc://models/bert", annotations=PATH_CHECK)).created == "EROFS"


@case("`pvc://`, missing path, without `check-path`", "an empty directory of root in the claim, made by the kubelet")
def test_missing_path(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    directory = cluster.claim(namespace, "models", {"bert/weights.bin": b"w"})
    assert cluster.report(namespace, plain_pod("pvc://models/brt")).files == {}
    assert (directory / "brt").stat().st_uid == 0


@case("missing claim", "the reason in the pod's condition")
def test_missing_claim(cluster: Cluster, s3: str) -> None:
    namespace = shared_namespace(cluster, s3)
    name = cluster.create(namespace, plain_pod("pvc://absent/bert"))
    pod = cluster.wait_pod(namespace, name, lambda pod: "absent" in str(pod["status"].get("conditions")))
    assert 'persistentvolumeclaim "absent" not found' in str(pod["status"]["conditions"])


@case("a download to memory that needs more than the limit", "a warning; OOMKilled in the status")
def test_memory(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("large", {"weights.bin": bytes(100_000_000)})
    limits = {str(MEMORY_REQUEST): "100Mi", str(MEMORY_LIMIT): "100Mi"}
    pod = plain_pod(f"{url}/weights.bin", annotations=limits)
    with cluster.settings({"storageDefaults": {"emptyDir": {"medium": "Memory"}}}):
        assert "OOMKilled" in cluster.warnings(namespace, pod)
        name = cluster.create(namespace, pod)
    ended = cluster.wait_pod(namespace, name, lambda pod: pod["status"].get("phase") == "Failed")
    (status,) = ended["status"]["initContainerStatuses"]
    assert (status["state"]["terminated"]["exitCode"], status["state"]["terminated"]["reason"]) == (137, "OOMKilled")
