"""The cluster with one node, as its users see it: namespaces, claims and pods."""

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster_objects import S3
from tests.e2e.api import Api, Object, admitted, eventually
from tests.e2e.installed import Installation, installation
from tests.e2e.pods import unnamed
from tests.node import images, kubelet
from tests.node.node import Node, running_node
from tests.serving import Authority

READER = Path(__file__).with_name("reader.py").read_text()
INITIALIZER = "storage-initializer"
WAIT = 240.0
"""Seconds to wait for a change of a pod; many times longer than it takes on two busy cores."""


@dataclass(frozen=True)
class Report:
    """What `reader.py` printed: digests of files by path, and the results of attempts to write."""

    files: Mapping[str, str]
    created: str
    appended: Mapping[str, str]
    user: list[int]


@dataclass(frozen=True, eq=False)
class Cluster:
    """The node, and the webhook that the chart installed. Tests use it at the same time."""

    node: Node
    installation: Installation
    _admission: threading.RLock = field(default_factory=threading.RLock)
    """Held while the settings are not the installed ones, and while a pod is created."""

    @property
    def api(self) -> Api:
        return self.installation.api

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace that the webhook serves, once its service account exists."""
        return self.installation.namespace(labels)

    def apply(self, namespace: str, manifest: Object) -> Object:
        """Create an object in the namespace."""
        within = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
        return admitted(self.api.apply(within))

    def claim(self, namespace: str, name: str, files: Mapping[str, bytes], driver: str = "hostPath") -> Path:
        """A bound claim whose volume is a new directory with these files. Returns the directory.

        The driver `local` gives files to the pod's fsGroup, and `hostPath` does not.
        """
        directory = self.node.directory / "volumes" / f"{namespace}-{name}"
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)
        self.apply(namespace, claim(name, directory.name))
        stored = volume(directory.name, namespace, name, {driver: {"path": str(directory)}})
        self.api.apply(stored).raise_for_status()
        claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        self.wait(claims, name, lambda claim: claim["status"].get("phase") == "Bound")
        return directory

    def s3_account(self, namespace: str, endpoint: str) -> None:
        """Give the namespace's default service account the credentials of an S3 server."""
        annotations = {f"{S3}endpoint": endpoint, f"{S3}usehttps": "0", f"{S3}region": "us-east-1"}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3", "annotations": annotations},
            "stringData": {"awsAccessKeyID": "minio", "awsSecretAccessKey": "minio123"},
        }
        self.secret(namespace, secret)

    def secret(self, namespace: str, secret: Object) -> None:
        """Create a Secret, and give it to the namespace's default service account."""
        self.apply(namespace, secret)
        metadata = {"name": "default"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        self.apply(namespace, {**account, "secrets": [{"name": secret["metadata"]["name"]}]})

    @contextmanager
    def settings(self, changed: Mapping[str, Any]) -> Iterator[None]:
        """Put these fields of the settings in effect for the pods that this thread creates, by key."""
        with self._admission:
            before = self.installation.configmap["data"]
            data = {key: _merged(before.get(key), fields) for key, fields in changed.items()}
            with self.installation.configured({**before, **data}):
                yield

    def create(self, namespace: str, pod: Object, settings: Mapping[str, Any] | None = None, **environment: str) -> str:
        """Create the pod with these settings. Its first container runs `reader.py` with these variables.

        Returns the pod's name.
        """
        with self.settings(settings) if settings else self._admission:
            created = self.api.create_pod(namespace, reading(pod, **environment))
        return str(admitted(created)["metadata"]["name"])

    def report(
        self, namespace: str, pod: Object, settings: Mapping[str, Any] | None = None, **environment: str
    ) -> Report:
        """Run the pod, created with these settings, and return what its server read."""
        name = self.create(namespace, pod, settings, **environment)
        self.await_end(namespace, name)
        return self.read_report(namespace, name)

    def rejection(self, namespace: str, pod: Object) -> str:
        """Why the pod is not admitted; "" if it is."""
        with self._admission:
            response = self.api.create_pod(namespace, reading(pod), dryRun="All")
        return "" if response.is_success else str(response.json()["message"])

    def warnings(self, namespace: str, pod: Object) -> str:
        """The warnings that the pod's author sees."""
        with self._admission:
            response = self.api.create_pod(namespace, reading(pod), dryRun="All")
        admitted(response)
        return "\n".join(response.headers.get_list("Warning"))

    def await_end(self, namespace: str, name: str) -> None:
        """Wait until the pod has ended, and fail if it failed."""
        done = self.wait_pod(namespace, name, is_finished)
        assert done["status"]["phase"] == "Succeeded", self.explain(namespace, name)

    def failure(self, namespace: str, pod: Object, container: str = INITIALIZER) -> str:
        """Run the pod, whose container must fail, and return the message in its status."""
        name = self.create(namespace, pod)
        done = self.wait_pod(namespace, name, is_finished)
        assert done["status"]["phase"] == "Failed", self.explain(namespace, name)
        return str(state_of(done, container)["terminated"].get("message"))

    def kill_server(self, namespace: str, name: str) -> None:
        """Kill the process of the pod's first container, as the kernel does when memory runs out."""
        pod = self.api.http.get(f"/api/v1/namespaces/{namespace}/pods/{name}").json()
        identifier = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        (process, *_) = self.node.processes_of(identifier)
        process.kill()

    def serving_report(self, namespace: str, name: str, restarts: int = 0, container: str = "server") -> Report:
        """The report of a pod that keeps running, after this number of restarts of its server."""

        def serves(pod: Object) -> bool:
            return (
                is_running(pod) and max(each["restartCount"] for each in pod["status"]["containerStatuses"]) == restarts
            )

        self.wait_pod(namespace, name, serves)
        eventually(lambda: bool(self.log(namespace, name, container)))
        return self.read_report(namespace, name, container)

    def read_report(self, namespace: str, name: str, container: str = "server") -> Report:
        """The report in the log of a pod."""
        return Report(**json.loads(self.log(namespace, name, container)))

    def log(self, namespace: str, name: str, container: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        return self.api.http.get(path, params={"container": container}).raise_for_status().text

    def await_log(self, namespace: str, name: str, container: str, text: str) -> None:
        """Wait until a container has started and its log contains the text."""
        self.wait_pod(namespace, name, lambda pod: "waiting" not in state_of(pod, container, {"waiting": {}}))
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        following = {"container": container, "follow": "true"}
        with self.api.http.stream("GET", path, params=following, timeout=WAIT) as response:
            assert any(text in line for line in response.iter_lines()), f"the log ended without {text!r}"

    def wait_pod(self, namespace: str, name: str, condition: Callable[[Object], bool]) -> Object:
        """The pod, once the condition is true."""
        try:
            return self.wait(f"/api/v1/namespaces/{namespace}/pods", name, condition)
        except TimeoutError as error:
            raise AssertionError(self.explain(namespace, name)) from error

    def wait(self, collection: str, name: str, condition: Callable[[Object], bool]) -> Object:
        """The object of the collection at this URL path, once the condition is true. Raises TimeoutError."""
        watch = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(int(WAIT))}
        with self.api.http.stream("GET", collection, params=watch, timeout=WAIT + 30) as response:
            for line in response.iter_lines():
                changed: Object = json.loads(line)["object"]
                if condition(changed):
                    return changed
        raise TimeoutError(f"{collection}/{name}")

    def explain(self, namespace: str, name: str) -> str:
        """The pod's status and events, for failures of tests."""
        path = f"/api/v1/namespaces/{namespace}"
        status = self.api.http.get(f"{path}/pods/{name}").json().get("status")
        events = self.api.http.get(f"{path}/events", params={"fieldSelector": f"involvedObject.name={name}"}).json()
        messages = [f"{each['reason']}: {each['message']}" for each in events["items"] if each["type"] != "Normal"]
        return json.dumps({"events": messages, "status": _ended(status)}, indent=1)


@contextmanager
def running_cluster(authority: Authority, directory: Path) -> Iterator[Cluster]:
    """A cluster with one node and the installed chart. The webhook is a process with files in `directory`."""
    values = {
        "storageInitializer__enableOciModelSupport": True,
        "nodeSelector": {"runs": "nowhere"},  # the webhook's pods: it runs outside the cluster
    }
    with (
        running_node() as node,
        installation(node.api, "storage-webhook", authority, directory, **values) as installed,
    ):
        yield Cluster(node, installed)


def state_of(pod: Object, container: str, unknown: Object | None = None) -> Object:
    """The state of a container or init container; `unknown` before the kubelet has one."""
    kinds = ("initContainerStatuses", "containerStatuses")
    found = [each for kind in kinds for each in pod["status"].get(kind, []) if each["name"] == container]
    return dict(found[0]["state"]) if found else unknown or {}


def is_running(pod: Object) -> bool:
    """Whether all containers of the pod run."""
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and all("running" in each["state"] for each in statuses)


def is_finished(pod: Object) -> bool:
    """Whether all containers of the pod have ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def reading(pod: Object, **environment: str) -> Object:
    """The pod with `reader.py` in its first container, in the image of the tests."""
    changed = unnamed(copy.deepcopy(pod))
    container = changed["spec"]["containers"][0]
    container |= {"image": images.SERVER, "command": ["python3", "-u", "-c", READER]}
    container["env"] = [
        *container.get("env", []),
        *({"name": key, "value": value} for key, value in environment.items()),
    ]
    changed["spec"] = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **changed["spec"]}
    return changed


def _merged(before: str | None, fields: object) -> object:
    return {**json.loads(before or "{}"), **fields} if isinstance(fields, dict) else fields


def _ended(status: Object) -> Object:
    """The parts of a pod's status that say how its containers ended."""
    kinds = ("initContainerStatuses", "containerStatuses")
    states = {each["name"]: [each["state"], each["lastState"]] for kind in kinds for each in status.get(kind, [])}
    return {**{key: status.get(key) for key in ("phase", "reason", "message")}, "containers": states}


def claim(name: str, volume: str) -> Object:
    """A claim that waits for the volume of this name."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": volume,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def volume(name: str, namespace: str, claim: str, source: Object) -> Object:
    """A volume on the node, for this claim only."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [kubelet.NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            **source,
        },
    }
