"""Models that the init container downloads."""

import json

from tests.cluster_objects import secret
from tests.mutation import kserve_pod, plain_pod
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import Cluster
from tests.node.network import NODE_IP
from tests.node.servers import Web


@case("`s3://`, directory; keys from a Secret of the service account", "every file; writing fails (EROFS)")
def test_s3_directory(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    read = cluster.report(namespace, plain_pod("s3://models/bert"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


@case("`s3://`, single object", "the file")
def test_s3_object(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    read = cluster.report(namespace, plain_pod("s3://models/bert/weights.bin"))
    assert read.files == digests({"weights.bin": MODEL["weights.bin"]})


@case("`s3://` of a pod of KServe, in KServe's internal annotation", "every file")
def test_pod_of_kserve(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    name = cluster.create(namespace, kserve_pod("s3://models/bert"))
    cluster.await_end(namespace, name)
    assert cluster.read_report(namespace, name, "kserve-container").files == digests(MODEL)


@case("`http://`; headers from a Secret", "the file")
def test_http_with_headers(cluster: Cluster, web: Web) -> None:
    url = web.put("protected", MODEL)
    web.authorization["/protected/weights.bin"] = "Bearer hush"
    namespace = cluster.namespace()
    headers = secret("web", {"https-host": NODE_IP, "headers": json.dumps({"Authorization": "Bearer hush"})})
    cluster.secret(namespace, headers)
    read = cluster.report(namespace, plain_pod(f"{url}/weights.bin"))
    assert read.files == digests({"weights.bin": MODEL["weights.bin"]})
