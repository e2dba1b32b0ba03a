"""Models in images."""

import base64
import json

import pytest

from tests.e2e.api import Object
from tests.mutation import plain_pod
from tests.node.cases import PULL, case, digests
from tests.node.cluster import Cluster
from tests.node.concurrency import shared
from tests.node.images import MODEL, MODELCAR

MODELCAR_URI = f"oci+modelcar://{MODELCAR}"
ARRIVED = "/mnt/models/config/config.json"


@shared
def shared_namespace(cluster: Cluster) -> str:
    return cluster.namespace()


@case("`oci+modelcar://`, pod of a Deployment (sidecar)", "every file; writing fails")
def test_modelcar(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    pod = plain_pod(MODELCAR_URI, restartPolicy="Always")
    name = cluster.create(namespace, pod, WAIT_FOR=ARRIVED, STAY="1")
    read = cluster.serving_report(namespace, name)
    assert read.files == digests(MODEL)
    assert read.created in ("EROFS", "EACCES")


@case("`oci+modelcar://`, pod of a Job (native sidecar)", "every file; the pod ends")
def test_modelcar_of_a_job(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod(MODELCAR_URI), WAIT_FOR=ARRIVED)
    assert read.files == digests(MODEL)


@pytest.mark.parametrize("ids", [{"runAsUser": 1001}, {"runAsUser": 1001, "runAsGroup": 1002}, {"runAsGroup": 1003}])
@case("`oci+modelcar://`, server with a user or a group of its own", "every file")
def test_modelcar_with_ids(cluster: Cluster, ids: dict[str, int]) -> None:
    namespace = shared_namespace(cluster)
    pod = plain_pod(MODELCAR_URI)
    pod["spec"]["containers"][0]["securityContext"] = ids
    read = cluster.report(namespace, pod, WAIT_FOR=ARRIVED)
    assert read.files == digests(MODEL)
    assert read.user[1] == ids.get("runAsGroup", 0)


@case("`oci+native://`, image volume", "every file; writing fails (EROFS)")
def test_native(cluster: Cluster) -> None:
    namespace = shared_namespace(cluster)
    read = cluster.report(namespace, plain_pod(f"oci+native://{MODELCAR}"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


def pull_secret(address: str) -> Object:
    """What `kubectl create secret docker-registry` creates."""
    auth = base64.b64encode(PULL.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {address: {"auth": auth}}})},
    }


@case("`oci+fetch://` from a registry with a password", "every file")
def test_fetched(cluster: Cluster, models_registry: str) -> None:
    namespace = shared_namespace(cluster)
    cluster.apply(namespace, pull_secret(models_registry))
    pod = plain_pod(f"oci+fetch://{models_registry}/models/iris:1", imagePullSecrets=[{"name": "pull"}])
    insecure = {"storageInitializer": {"ociInsecureRegistry": True}}
    assert cluster.report(namespace, pod, insecure).files == digests(MODEL)
