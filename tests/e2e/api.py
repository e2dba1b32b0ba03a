"""The API server as tests speak to it, and how they wait for what it does a moment later."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.controlplane.plane import ControlPlane

Object = dict[str, Any]

PATIENCE = 30
"""Seconds to wait for what has to happen; far more than it takes."""


class Api:
    """The API as it is on the wire, by kinds."""

    def __init__(self, plane: ControlPlane, http: httpx.Client) -> None:
        self.plane = plane
        self.http = http
        self.http.timeout = httpx.Timeout(PATIENCE)
        self._resources: dict[str, list[dict[str, Any]]] = {}

    def apply(self, manifest: Object, **parameters: str) -> httpx.Response:
        """Server-side apply; a field that the API does not know is refused."""
        return self.http.patch(
            self.path(manifest),
            params={"fieldManager": "test", "fieldValidation": "Strict", "force": "true", **parameters},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )

    def patch(self, manifest: Object, operations: list[Object]) -> None:
        """Change a stored object by a JSON patch."""
        headers = {"Content-Type": "application/json-patch+json"}
        self.http.patch(self.path(manifest), headers=headers, content=json.dumps(operations)).raise_for_status()

    def path(self, manifest: Object) -> str:
        """Where an object is, whether or not it exists."""
        group, metadata = manifest["apiVersion"], manifest["metadata"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        if root not in self._resources:
            self._resources[root] = self.http.get(root).json()["resources"]
        resource = next(
            each for each in self._resources[root] if each["kind"] == manifest["kind"] and "/" not in each["name"]
        )
        within = f"/namespaces/{metadata['namespace']}" if resource["namespaced"] else ""
        return f"{root}{within}/{resource['name']}/{metadata['name']}"

    def get(self, manifest: Object) -> Object:
        """The stored object of a rendered one."""
        return dict(self.http.get(self.path(manifest)).raise_for_status().json())

    def delete(self, manifest: Object) -> None:
        self.http.delete(self.path(manifest)).raise_for_status()

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """A namespace that may be there already: the chart's values name some."""
        metadata = {"name": name, "labels": dict(labels or {})}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.apply(manifest).raise_for_status()
        return name

    def furnished(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """A namespace that pods can be made in, with these labels from now on."""
        self.namespace(name, labels)
        if self.http.get(f"/api/v1/namespaces/{name}/serviceaccounts/default").is_error:
            self.plane.furnish_namespace(name)
        return name

    def create_pod(self, namespace: str, pod: Object, **parameters: str) -> httpx.Response:
        return self.http.post(f"/api/v1/namespaces/{namespace}/pods", params=parameters, json=pod)

    def asked(self, namespace: str, pod: Object) -> bool:
        """Whether the webhook, which is down, is called for this pod: then it is refused, and else made."""
        answer = self.create_pod(namespace, pod, dryRun="All")
        if answer.status_code == httpx.codes.CREATED:
            return False
        assert 'failed calling webhook "pods.storage.kserve.io"' in answer.json()["message"]
        return True

    def injected(self, namespace: str, pod: Object) -> bool:
        """Whether this pod would be made with an init container."""
        answer = self.create_pod(namespace, pod, dryRun="All")
        return answer.is_success and "initContainers" in answer.json()["spec"]


def admitted(answer: httpx.Response) -> Object:
    """The pod that the API server made. Fails with its message when it refused."""
    assert answer.is_success, answer.json()["message"]
    return dict(answer.json())


def eventually(condition: Callable[[], bool]) -> None:
    """The API server sees new configurations, labels and kinds a moment later."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not so after {PATIENCE} seconds"
        time.sleep(0.05)
