"""Small pods for tests, and what the webhook makes of them."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from typing import Any

import jsonpatch

from webhook import admission, review
from webhook import annotations as keys
from webhook.admission import Outcome
from webhook.facts import NO_FACTS, Facts
from webhook.settings.parse import parse as parse_settings

JsonObject = dict[str, Any]

NAMESPACE = "models"


def container(name: str = "server", **fields: Any) -> JsonObject:
    """A container with the least that Kubernetes asks of one."""
    return {"name": name, "image": f"registry.example.com/{name}:1", **fields}


def plain_pod(annotations: Mapping[str, str] | None = None, **spec: Any) -> JsonObject:
    """A pod that KServe does not manage; its container is `server` unless the spec says otherwise."""
    metadata = {"name": "llama", "annotations": {str(key): value for key, value in (annotations or {}).items()}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container()], **spec}}


def kserve_pod(annotations: Mapping[str, str] | None = None, **spec: Any) -> JsonObject:
    """A pod of an InferenceService; its container is `kserve-container` unless the spec says otherwise."""
    pod = plain_pod(annotations, **{"containers": [container("kserve-container")], **spec})
    pod["metadata"]["labels"] = {str(keys.INFERENCE_SERVICE): "iris"}
    return pod


def asking(uri: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> JsonObject:
    """A plain pod that asks for one model."""
    return plain_pod({keys.URI: uri, **(annotations or {})}, **spec)


def decide(
    pod: Any, settings: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE, facts: Facts = NO_FACTS
) -> Outcome:
    """What the webhook decides about a pod under these settings (the ConfigMap's keys)."""
    chosen, _ = parse_settings(settings or {})
    wanted = admission.ask(pod, namespace, chosen)
    return wanted if isinstance(wanted, Outcome) else admission.settle(pod, wanted, chosen, facts)


def mutated(pod: JsonObject, settings: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> JsonObject:
    """The pod that is admitted: what jsonpatch makes of the pod and the answer's patch.

    Fails the test when the pod is denied, or when the webhook touched the pod it was given.
    """
    before = copy.deepcopy(pod)
    outcome = decide(pod, settings, namespace=namespace)
    assert outcome.allowed, outcome.message
    assert pod == before, "the input was modified"
    return patched(pod, outcome)


def patched(pod: JsonObject, outcome: Outcome) -> JsonObject:
    """What the API server makes of a pod and the answer about it."""
    response = answered(pod, outcome)
    operations = json.loads(base64.b64decode(response.get("patch", base64.b64encode(b"[]"))))
    result: JsonObject = jsonpatch.apply_patch(pod, operations)
    return result


def answered(pod: Any, outcome: Outcome) -> JsonObject:
    """The AdmissionResponse about a pod."""
    request = {"uid": "7d3c", "namespace": NAMESPACE, "operation": "CREATE", "object": pod}
    asked = review.from_object({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    response: JsonObject = json.loads(review.answer(asked, outcome))["response"]
    return response


def denial(pod: Any, settings: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> tuple[int, str]:
    """The code and the message of a pod's denial. Fails the test when the pod is not denied."""
    outcome = decide(pod, settings, namespace=namespace)
    assert outcome.kind == "denied", outcome
    return outcome.code, outcome.message


def named(items: list[JsonObject] | None, name: str) -> JsonObject:
    """The one item of a list that has this name."""
    (found,) = [item for item in items or [] if item["name"] == name]
    return found


def init_container(pod: JsonObject) -> JsonObject:
    """The pod's storage initializer."""
    return named(pod["spec"].get("initContainers"), "storage-initializer")


def mounts(pod: JsonObject, name: str = "server") -> list[JsonObject]:
    """The volume mounts of one of the pod's containers."""
    found: list[JsonObject] = named(pod["spec"]["containers"], name).get("volumeMounts") or []
    return found
