"""Options of a download: storage containers, variables, volumes, and init containers that read the model."""

from pathlib import Path
from typing import Any

from tests.cluster_objects import secret
from tests.e2e.api import Object
from tests.mutation import a_container, initializer, plain_pod
from tests.node import images
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import READER, Cluster, is_finished
from webhook import annotations as keys

TOKEN = {"secretKeyRef": {"name": "git", "key": "token"}}
FETCH = """
import os, pathlib, shutil, sys
uri, target = sys.argv[1:]
for file in pathlib.Path("/etc/repository").iterdir():
    if file.is_file():
        shutil.copyfile(file, pathlib.Path(target, file.name))
pathlib.Path(target, "uri").write_text(uri)
for name in ("GIT_TOKEN", "GIT_DEPTH"):
    pathlib.Path(target, name).write_text(os.environ.get(name, "not set"))
"""
PLUG_IN: dict[str, Any] = {
    "name": "git",
    "supportedUriFormats": [{"prefix": "git://"}],
    "container": {
        "image": images.SERVER,
        "command": ["python3", "-c", FETCH],
        "volumeMounts": [{"name": "repository", "mountPath": "/etc/repository", "readOnly": True}],
        "securityContext": {"runAsUser": images.USER},
    },
    "volumes": [{"name": "repository", "configMap": {"name": "repository"}}],
}
SETTINGS: dict[str, Any] = {
    "storageContainers": [PLUG_IN],
    "storageDefaults": {"overrides": {"env": ["GIT_*"]}, "cpuLimit": "none"},
}
STORAGE_CLASS = "node-disk"


def _repository(cluster: Cluster) -> str:
    """A namespace with what the plug-in needs: the ConfigMap that it copies, and a Secret."""
    namespace = cluster.namespace()
    data = {"weights.txt": "the weights", "config.json": "{}"}
    cluster.apply(
        namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "repository"}, "data": data}
    )
    cluster.apply(namespace, secret("git", {"token": "hush"}))
    return namespace


def _fetched(**values: str) -> dict[str, str]:
    texts = {"weights.txt": "the weights", "config.json": "{}", "uri": "git://host/model", **values}
    return digests({name: text.encode() for name, text in texts.items()})


@case("`git://` with a plug-in of the settings, which mounts a ConfigMap", "every file that the plug-in wrote")
def test_a_plug_in_container(cluster: Cluster) -> None:
    namespace = _repository(cluster)
    read = cluster.report(namespace, plain_pod("git://host/model"), SETTINGS)
    assert read.files == _fetched(GIT_TOKEN="not set", GIT_DEPTH="not set")
    assert read.created == "EROFS"


@case("variables of the download: from a Secret, and copied from the server", "the values that the download saw")
def test_variables_from_a_secret_and_from_the_server(cluster: Cluster) -> None:
    namespace = _repository(cluster)
    listed = '[{"name": "GIT_DEPTH", "valueFrom": {"secretKeyRef": {"name": "git", "key": "token"}}}]'
    pod = plain_pod("git://host/model", annotations={keys.ENV: listed, keys.ENV_FROM_CONTAINER: "true"})
    pod["spec"]["containers"][0]["env"] = [{"name": "GIT_TOKEN", "valueFrom": TOKEN}]
    read = cluster.report(namespace, pod, SETTINGS)
    assert read.files == _fetched(GIT_TOKEN="hush", GIT_DEPTH="hush")


def _disk(cluster: Cluster, name: str) -> Path:
    """A volume of the node with an empty file system that belongs to root, for the next claim of its class."""
    directory = cluster.node.directory / "volumes" / name
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    on_the_node = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
        "local": {"path": str(directory)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [on_the_node]}},
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    cluster.api.apply(volume).raise_for_status()
    return directory


@case("generic ephemeral volume with fsGroup; its claim is deleted with the pod", "every file; on the node's disk")
def test_an_ephemeral_volume(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    cluster.claim(namespace, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    volume = {"ephemeral": {"size": "100Mi", "storageClassName": STORAGE_CLASS}}
    pod = plain_pod("pvc://models/bert", annotations={keys.PVC_MOUNT: "copy"})
    pod["spec"]["securityContext"] = {"fsGroup": images.USER}
    directory = _disk(cluster, f"{namespace}-fresh")
    name = cluster.create(namespace, pod, {"storageDefaults": {"downloadVolume": volume}})
    done = cluster.wait_pod(namespace, name, is_finished)
    assert done["status"]["phase"] == "Succeeded", cluster.explain(namespace, name)
    assert cluster.read_report(namespace, name).files == digests(MODEL)
    assert sorted(path.name for path in directory.iterdir()) == ["config", "weights.bin"]
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    claim = cluster.api.http.get(f"{claims}/{name}-kserve-provision-location").raise_for_status().json()
    assert claim["metadata"]["ownerReferences"][0]["name"] == name


def test_an_ephemeral_volume_without_fs_group_cannot_be_written(cluster: Cluster) -> None:
    namespace = _repository(cluster)
    volume = {"ephemeral": {"size": "100Mi", "storageClassName": STORAGE_CLASS}}
    _disk(cluster, f"{namespace}-fresh")
    settings = {**SETTINGS, "storageDefaults": {"downloadVolume": volume}}
    name = cluster.create(namespace, plain_pod("git://host/model"), settings)
    failed = cluster.wait_pod(namespace, name, is_finished)
    assert failed["status"]["phase"] == "Failed"
    (status,) = failed["status"]["initContainerStatuses"]
    assert "Permission denied" in status["state"]["terminated"]["message"]


def _building(pod: Object) -> Object:
    """The pod with an init container that reads the model as the server does, and writes to a volume of its own."""
    fields = {"image": images.SERVER, "command": ["python3", "-u", "-c", READER]}
    pod["spec"]["initContainers"] = [a_container("build", **fields)]
    pod["metadata"]["annotations"][keys.CONTAINERS] = "server,build"
    return pod


@case("init container that reads the model, before the server", "every file in both containers; EROFS in both")
def test_an_init_container_reads_the_model(cluster: Cluster) -> None:
    namespace = _repository(cluster)
    name = cluster.create(namespace, _building(plain_pod("git://host/model")), SETTINGS)
    done = cluster.wait_pod(namespace, name, is_finished)
    assert done["status"]["phase"] == "Succeeded", cluster.explain(namespace, name)
    assert "cpu" not in initializer(done)["resources"]["limits"]
    for container in ("build", "server"):
        read = cluster.read_report(namespace, name, container)
        assert read.files == _fetched(GIT_TOKEN="not set", GIT_DEPTH="not set")
        assert read.created == "EROFS"


@case("init container that reads from a modelcar", "every file in both containers")
def test_an_init_container_reads_from_a_modelcar(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    name = cluster.create(namespace, _building(plain_pod(f"oci+modelcar://{images.MODELCAR}")))
    done = cluster.wait_pod(namespace, name, is_finished)
    assert done["status"]["phase"] == "Succeeded", cluster.explain(namespace, name)
    for container in ("build", "server"):
        assert cluster.read_report(namespace, name, container).files == digests(images.MODEL)
