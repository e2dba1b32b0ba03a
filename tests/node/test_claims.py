"""Models in claims, mounted."""

from tests.mutation import plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster

IRIS = "iris/model.joblib"
BERT = {"bert/weights.bin": MODEL["weights.bin"], "bert/config/config.json": MODEL["config/config.json"]}
CLAIM = {**BERT, IRIS: b"a scikit-learn model"}


@case("`pvc://` directory", "every file; the server cannot write (EROFS)")
def test_directory(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    cluster.claim(namespace, "models", CLAIM)
    read = cluster.report(namespace, plain_pod("pvc://models/bert"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"
