"""The cache of the Hugging Face Hub in a claim: its files are links out of their directory."""

from tests.mutation import plain_pod
from tests.node.cases import case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from webhook.annotations import PVC_MOUNT

WEIGHTS = {"model.safetensors": b"weights"}
SNAPSHOT = "models--org--m/snapshots/abc"


@shared
def shared_namespace(cluster: Cluster) -> str:
    """A namespace with the claim `hub`."""
    name = cluster.namespace()
    directory = cluster.claim(name, "hub", {"models--org--m/blobs/1111": WEIGHTS["model.safetensors"]})
    (directory / SNAPSHOT).mkdir(parents=True)
    (directory / SNAPSHOT / "model.safetensors").symlink_to("../../blobs/1111")
    return name


@case("`pvc://`, snapshot of a Hugging Face cache, directory", "a warning; the links lead nowhere (ENOENT)")
def test_directory(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    pod = plain_pod(f"pvc://hub/{SNAPSHOT}")
    assert "snapshot of a Hugging Face cache" in cluster.warnings(namespace, pod)
    assert cluster.report(namespace, pod).files == {"model.safetensors": "ENOENT"}


@case("`pvc://`, snapshot of a Hugging Face cache, single file", "the file")
def test_file(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    assert cluster.report(namespace, plain_pod(f"pvc://hub/{SNAPSHOT}/model.safetensors")).files == digests(WEIGHTS)


@case("`pvc://`, snapshot of a Hugging Face cache, `pvc-mount: copy`", "the file")
def test_copy(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    pod = plain_pod(f"pvc://hub/{SNAPSHOT}", annotations={str(PVC_MOUNT): "copy"})
    assert cluster.report(namespace, pod).files == digests(WEIGHTS)


@case("`pvc://`, Hugging Face cache, whole claim", "the file, also through its link")
def test_whole_claim(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://hub"))
    (digest,) = digests(WEIGHTS).values()
    assert read.files == {f"{SNAPSHOT}/model.safetensors": digest, "models--org--m/blobs/1111": digest}
