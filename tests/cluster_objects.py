"""What a cluster holds, as manifests, and what the webhook decides about a pod there."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Any

from tests.pods import NAMESPACE, JsonObject, init_container, patched
from webhook import admission
from webhook.admission import Outcome
from webhook.facts_file import FactsFile
from webhook.settings.parse import parse as parse_settings

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


def decided(pod: JsonObject, *objects: JsonObject, settings: Mapping[str, Any] | None = None) -> Outcome:
    """What is decided about a pod in a cluster that holds these objects. Fails when the pod itself is touched."""
    chosen, _ = parse_settings(settings or {})
    before = copy.deepcopy(pod)
    wanted = admission.ask(pod, NAMESPACE, chosen)
    assert not isinstance(wanted, Outcome), wanted
    outcome = admission.settle(pod, wanted, chosen, FactsFile(list(objects)).facts(wanted, chosen))
    assert pod == before, "the input was modified"
    return outcome


def admitted(pod: JsonObject, *objects: JsonObject, settings: Mapping[str, Any] | None = None) -> JsonObject:
    """The pod as it is admitted. Fails when it is denied."""
    outcome = decided(pod, *objects, settings=settings)
    assert outcome.allowed, outcome.message
    return patched(pod, outcome)


def initializer(pod: JsonObject, *objects: JsonObject, settings: Mapping[str, Any] | None = None) -> JsonObject:
    """The storage initializer of the pod as it is admitted."""
    return init_container(admitted(pod, *objects, settings=settings))


def denied(pod: JsonObject, *objects: JsonObject, settings: Mapping[str, Any] | None = None) -> str:
    """Why the pod is denied. Fails when it is not."""
    outcome = decided(pod, *objects, settings=settings)
    assert outcome.kind == "denied", outcome
    return outcome.message


def variables(container: JsonObject) -> dict[str, Any]:
    """The container's environment in order, without what it gets for Hugging Face: value, or Secret and key."""
    return {
        each["name"]: _source(each)
        for each in container["env"]
        if not each["name"].startswith("HF_HUB") and not each["name"].startswith("HF_XET")
    }


def _source(variable: JsonObject) -> Any:
    if "valueFrom" not in variable:
        return variable["value"]
    assert "value" not in variable, variable
    (kind,) = variable["valueFrom"]
    assert kind == "secretKeyRef"
    reference = variable["valueFrom"][kind]
    optional = ("optional",) if reference.get("optional") else ()
    return (reference["name"], reference["key"], *optional)
