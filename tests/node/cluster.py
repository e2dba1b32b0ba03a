"""The cluster with one node, as its users see it: namespaces, claims and pods."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.api import Api, Object, admitted
from tests.e2e.installed import Installation, installation
from tests.node import images
from tests.node.node import Node, running_node
from tests.serving import Authority

READER = Path(__file__).with_name("reader.py").read_text()
WAIT = 240.0
"""Seconds to wait for a change of a pod; many times longer than it takes on two busy cores."""


@dataclass(frozen=True)
class Report:
    """What `reader.py` printed: digests of files by path, and the results of attempts to write."""

    files: Mapping[str, str]
    created: str
    appended: Mapping[str, str]
    user: list[int]


@dataclass(frozen=True)
class Cluster:
    """The node, and the webhook that the chart installed."""

    node: Node
    installation: Installation

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

    def claim(self, namespace: str, name: str, files: Mapping[str, bytes], **spec: Any) -> Path:
        """A bound claim whose volume is a new directory with these files. Returns the directory."""
        volume = f"{namespace}-{name}"
        directory = self.node.directory / "volumes" / volume
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)
        self.apply(namespace, _claim(name, volume))
        self.api.apply(_volume(volume, namespace, name, directory, spec)).raise_for_status()
        self.wait(namespace, "persistentvolumeclaims", name, lambda claim: claim["status"].get("phase") == "Bound")
        return directory

    def create(self, namespace: str, pod: Object, **environment: str) -> str:
        """Create the pod, whose first container runs `reader.py` with these variables. Returns its name."""
        return str(admitted(self.api.create_pod(namespace, reading(pod, **environment)))["metadata"]["name"])

    def report(self, namespace: str, pod: Object, **environment: str) -> Report:
        """Run the pod, and return what its server read."""
        name = self.create(namespace, pod, **environment)
        done = self.wait_pod(namespace, name, is_finished)
        assert done["status"]["phase"] == "Succeeded", self.explain(namespace, name)
        return self.read_report(namespace, name)

    def read_report(self, namespace: str, name: str, container: str = "server") -> Report:
        """The report in the log of a pod."""
        return Report(**json.loads(self.log(namespace, name, container)))

    def log(self, namespace: str, name: str, container: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        return self.api.http.get(path, params={"container": container}).raise_for_status().text

    def wait_pod(self, namespace: str, name: str, condition: Callable[[Object], bool]) -> Object:
        """The pod, once the condition is true."""
        try:
            return self.wait(namespace, "pods", name, condition)
        except TimeoutError as error:
            raise AssertionError(self.explain(namespace, name)) from error

    def wait(self, namespace: str, resource: str, name: str, condition: Callable[[Object], bool]) -> Object:
        """The object, once the condition is true. Raises TimeoutError."""
        path = f"/api/v1/namespaces/{namespace}/{resource}"
        watch = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(int(WAIT))}
        with self.api.http.stream("GET", path, params=watch, timeout=WAIT + 30) as response:
            for line in response.iter_lines():
                changed: Object = json.loads(line)["object"]
                if condition(changed):
                    return changed
        raise TimeoutError(f"{resource} {namespace}/{name}")

    def explain(self, namespace: str, name: str) -> str:
        """The pod's status and events, for failures of tests."""
        path = f"/api/v1/namespaces/{namespace}"
        status = self.api.http.get(f"{path}/pods/{name}").json().get("status")
        events = self.api.http.get(f"{path}/events", params={"fieldSelector": f"involvedObject.name={name}"}).json()
        messages = [f"{each['reason']}: {each['message']}" for each in events["items"] if each["type"] != "Normal"]
        return json.dumps({"status": status, "events": messages}, indent=1)


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


def is_finished(pod: Object) -> bool:
    """Whether all containers of the pod have ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def reading(pod: Object, **environment: str) -> Object:
    """The pod with `reader.py` in its first container, in the image of the tests."""
    changed = copy.deepcopy(pod)
    container = changed["spec"]["containers"][0]
    container |= {"image": images.SERVER, "command": ["python3", "-u", "-c", READER]}
    container["env"] = [
        *container.get("env", []),
        *({"name": key, "value": value} for key, value in environment.items()),
    ]
    changed["spec"] = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **changed["spec"]}
    return changed


def _claim(name: str, volume: str) -> Object:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": volume,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _volume(name: str, namespace: str, claim: str, directory: Path, spec: Mapping[str, Any]) -> Object:
    source = spec or {"hostPath": {"path": str(directory)}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "claimRef": {"namespace": namespace, "name": claim},
            **source,
        },
    }
