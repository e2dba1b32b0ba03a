"""Models in claims."""

from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from webhook.annotations import PVC_MOUNT, READ_ONLY

FILE = b"a scikit-learn model"
CLAIM = {**{f"bert/{path}": content for path, content in MODEL.items()}, "iris/model.joblib": FILE}
COPY = {str(PVC_MOUNT): "copy"}
WRITABLE = {str(READ_ONLY): "false"}


@shared
def shared_namespace(cluster: Cluster) -> str:
    """A namespace with the claim `models`."""
    name = cluster.namespace()
    cluster.claim(name, "models", CLAIM)
    return name


@case("`pvc://`, directory", "every file; writing fails (EROFS)")
def test_directory(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://models/bert"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


@case("`pvc://`, whole claim", "every file; writing fails (EROFS)")
def test_root(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://models"))
    assert read.files == digests(CLAIM)
    assert read.created == "EROFS"


@case("`pvc://`, single file", "the file; writing to it fails (EROFS)")
def test_file(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://models/iris/model.joblib"), WRITE="1")
    assert read.files == digests({"model.joblib": FILE})
    assert read.appended == {"model.joblib": "EROFS"}


@case('`pvc://`, directory, `readonly: "false"`', "every file; what the server writes is in the claim")
def test_writable_directory(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    directory = cluster.claim(namespace, "models", CLAIM)
    read = cluster.report(namespace, plain_pod("pvc://models/bert", annotations=WRITABLE))
    assert read.files == digests(MODEL)
    assert read.created == "ok"
    assert (directory / "bert" / "created").read_text() == "x"


@case("`pvc://`, directory, `pvc-mount: copy`", "every file; writing fails (EROFS)")
def test_copied_directory(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://models/bert", annotations=COPY))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


@case("`pvc://`, single file, `pvc-mount: copy`", "the file")
def test_copied_file(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod("pvc://models/iris/model.joblib", annotations=COPY))
    assert read.files == digests({"model.joblib": FILE})


@case("`pvc://`, `storageDefaults.access`", "what a rule allows: writing fails (EROFS) or succeeds; `none` is denied")
def test_rules_for_claims(cluster: Cluster) -> None:
    rules = [{"paths": ["private"], "allow": "none"}, {"paths": ["scratch"], "allow": "readWrite"}]
    namespace = cluster.namespace()
    cluster.claim(namespace, "models", {f"{folder}/a": b"x" for folder in ("private", "public", "scratch")})
    settings = {"storageDefaults": {"readOnly": False, "access": rules}}
    assert cluster.report(namespace, plain_pod("pvc://models/public"), settings).created == "EROFS"
    assert cluster.report(namespace, plain_pod("pvc://models/scratch"), settings).created == "ok"
    with cluster.settings(settings):
        assert "storageDefaults.access[0]" in cluster.rejection(namespace, plain_pod("pvc://models/private"))
