"""A client for the API server, and helpers to wait for changes to take effect."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import httpx
import pytest

from tests.controlplane import pins
from tests.controlplane.plane import ControlPlane

Object = dict[str, Any]

TIMEOUT = 30
"""Timeout in seconds, much longer than needed."""


class Api:
    """Requests to the Kubernetes API, addressed by manifests."""

    def __init__(self, plane: ControlPlane, http: httpx.Client) -> None:
        self.plane = plane
        self.http = http
        self.http.timeout = httpx.Timeout(TIMEOUT)
        self._resources: dict[str, list[dict[str, Any]]] = {}

    @cached_property
    def minor(self) -> int:
        """The API server's minor version: 35."""
        return pins.numbers(self.plane.version())[1]

    def require(self, minor: int) -> None:
        """Skip the test on an API server older than Kubernetes 1.`minor` (`make test` has a newer one)."""
        if self.minor < minor:
            pytest.skip(f"needs Kubernetes 1.{minor}, and this API server is 1.{self.minor}")

    def apply(self, manifest: Object, **parameters: str) -> httpx.Response:
        """Server-side apply. Unknown fields are rejected."""
        return self.http.patch(
            self.path(manifest),
            params={"fieldManager": "test", "fieldValidation": "Strict", "force": "true", **parameters},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )

    def patch(self, manifest: Object, operations: list[Object]) -> None:
        """Apply a JSON patch to a stored object."""
        headers = {"Content-Type": "application/json-patch+json"}
        self.http.patch(self.path(manifest), headers=headers, content=json.dumps(operations)).raise_for_status()

    def path(self, manifest: Object) -> str:
        """The URL path of an object, which need not exist."""
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
        """The stored object of a manifest."""
        return dict(self.http.get(self.path(manifest)).raise_for_status().json())

    def delete(self, manifest: Object) -> None:
        self.http.delete(self.path(manifest)).raise_for_status()

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Create or update a namespace."""
        metadata = {"name": name, "labels": dict(labels or {})}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.apply(manifest).raise_for_status()
        return name

    def furnished(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Create or update a namespace in which pods can be created."""
        self.namespace(name, labels)
        if self.http.get(f"/api/v1/namespaces/{name}/serviceaccounts/default").is_error:
            self.plane.create_namespace_defaults(name)
        return name

    def create_pod(self, namespace: str, pod: Object, **parameters: str) -> httpx.Response:
        return self.http.post(f"/api/v1/namespaces/{namespace}/pods", params=parameters, json=pod)

    def calls_webhook(self, namespace: str, pod: Object) -> bool:
        """Whether the API server calls the webhook for this pod. The webhook must be down, so that calls fail."""
        response = self.create_pod(namespace, pod, dryRun="All")
        if response.status_code == httpx.codes.CREATED:
            return False
        assert 'failed calling webhook "pods.storage.kserve.io"' in response.json()["message"]
        return True

    def injected(self, namespace: str, pod: Object) -> bool:
        """Whether this pod would be created with an init container."""
        response = self.create_pod(namespace, pod, dryRun="All")
        return response.is_success and "initContainers" in response.json()["spec"]


def admitted(response: httpx.Response) -> Object:
    """The created pod. Fails with the API server's message if it rejected the pod."""
    assert response.is_success, response.json()["message"]
    return dict(response.json())


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true. The API server sees new configurations, labels and kinds with a delay."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"condition not true after {TIMEOUT} seconds"
        time.sleep(0.05)
