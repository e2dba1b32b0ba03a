"""What a cluster holds, as manifests, and what the webhook decides about a pod there."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from tests.mutation import JsonObject, Settings, answer, container, denied, mutated
from webhook import admission
from webhook.facts import Facts
from webhook.facts_file import FactsFile
from webhook.request import ModelRequest
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
    """What a pod's request needs to know of a cluster that holds these objects."""
    chosen, _ = parse(settings or {})
    wanted = admission.ask(pod, NAMESPACE, chosen)
    assert isinstance(wanted, ModelRequest), wanted
    return FactsFile(list(objects)).facts(wanted, chosen)


def admitted(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> JsonObject:
    """The pod as it is admitted in a cluster that holds these objects. Fails when it is denied."""
    return mutated(pod, settings, NAMESPACE, facts_of(pod, objects, settings))


def initializer(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> JsonObject:
    """The storage initializer of the pod as it is admitted."""
    return container(admitted(pod, *objects, settings=settings), "storage-initializer")


def denial(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> str:
    """Why the pod is denied. Fails when it is not."""
    return denied(pod, settings, NAMESPACE, facts_of(pod, objects, settings))


def warnings(pod: JsonObject, *objects: Any, settings: Settings | None = None) -> list[str]:
    """What the pod's author is warned of. Fails when the pod is denied."""
    response = answer(pod, settings, NAMESPACE, facts_of(pod, objects, settings))
    assert response["allowed"], response
    found: list[str] = response.get("warnings", [])
    return found


# Added by other steps.
_OTHERS = ("HF_HUB_", "HF_XET_", "CA_BUNDLE_")


def variables(container: JsonObject) -> dict[str, Any]:
    """The container's credentials in order: of each variable the value, or the Secret's name and key."""
    return {each["name"]: _source(each) for each in container["env"] if not each["name"].startswith(_OTHERS)}


def _source(variable: JsonObject) -> Any:
    if "valueFrom" not in variable:
        return variable["value"]
    assert "value" not in variable, variable
    (kind,) = variable["valueFrom"]
    assert kind == "secretKeyRef"
    reference = variable["valueFrom"][kind]
    optional = ("optional",) if reference.get("optional") else ()
    return (reference["name"], reference["key"], *optional)
