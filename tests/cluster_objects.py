"""Kubernetes objects for tests, and the webhook's decision about a pod in a cluster with these objects."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from tests.mutation import JsonObject, Settings, answer, container, denied, mutated
from webhook.admission import pods
from webhook.cluster.facts import Facts
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.settings.parse import parse

NAMESPACE = "models"

S3 = "serving.kserve.io/s3-"


def service_account(*secrets: str, name: str = "default", annotations: Mapping[str, str] | None = None) -> JsonObject:
    """A service account that lists these Secrets."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})},
        "secrets": [{"name": secret} for secret in secrets],
    }


def secret(name: str, data: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> JsonObject:
    """A Secret with these values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def storage_container(
    name: str, *formats: str, container: Any = None, top: Mapping[str, Any] | None = None, **spec: Any
) -> JsonObject:
    """A ClusterStorageContainer; a format that begins with `~` is a regex, any other a prefix."""
    supported = [{"regex": each[1:]} if each.startswith("~") else {"prefix": each} for each in formats]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": name},
        **(top or {}),
        "spec": {
            "container": {"name": "custom", "image": f"{name}:1"} if container is None else container,
            "supportedUriFormats": supported,
            **spec,
        },
    }


def claim(name: str, *modes: str) -> JsonObject:
    """A PersistentVolumeClaim with these access modes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"accessModes": list(modes)},
    }


def facts_of(pod: JsonObject, objects: Iterable[Any], settings: Settings | None = None) -> Facts:
    """The facts of a pod's request in a cluster with these objects."""
    parsed, _ = parse(settings or {})
    request = pods.read(pod, NAMESPACE, parsed)
    assert isinstance(request, ModelRequest), request
    return FactsFile(list(objects)).facts(request, parsed)


def admitted(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> JsonObject:
    """The pod as admitted in a cluster with these objects. Fails when it is denied."""
    return mutated(pod, settings, NAMESPACE, facts_of(pod, objects, settings))


def initializer(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> JsonObject:
    """The storage initializer of the admitted pod."""
    return container(admitted(pod, *objects, settings=settings), "storage-initializer")


def denial(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> str:
    """The denial message. Fails when the pod is admitted."""
    return denied(pod, settings, NAMESPACE, facts_of(pod, objects, settings))


def warnings(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> list[str]:
    """The warnings of the response. Fails when the pod is denied."""
    response = answer(pod, settings, NAMESPACE, facts_of(pod, objects, settings))
    assert response["allowed"], response
    found: list[str] = response.get("warnings", [])
    return found


_OTHER_STEPS = ("HF_HUB_", "HF_XET_", "CA_BUNDLE_")


def variables(container: JsonObject) -> dict[str, Any]:
    """The container's credential variables in order: the value, or the name and key of the Secret."""
    return {each["name"]: _source(each) for each in container["env"] if not each["name"].startswith(_OTHER_STEPS)}


def _source(variable: JsonObject) -> Any:
    if "valueFrom" not in variable:
        return variable["value"]
    assert "value" not in variable, variable
    (kind,) = variable["valueFrom"]
    assert kind == "secretKeyRef"
    reference = variable["valueFrom"][kind]
    optional = ("optional",) if reference.get("optional") else ()
    return (reference["name"], reference["key"], *optional)
