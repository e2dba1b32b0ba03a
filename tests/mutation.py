"""Pods for tests, and the webhook's responses for them, with the patch applied."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import jsonpatch

from tests.golden import patch_of
from webhook.admission import pods, review
from webhook.admission.outcome import Outcome
from webhook.cluster.facts import NO_FACTS, Facts
from webhook.pod.pod import find
from webhook.settings import model
from webhook.settings.parse import parse

JsonObject = dict[str, Any]
Settings = Mapping[str, Any]

KSERVE = {"serving.kserve.io/inferenceservice": "iris"}
SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"


def a_pod(
    *names: str, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, **spec: Any
) -> JsonObject:
    """A pod with containers of these names (default: `server`)."""
    containers = [a_container(name) for name in names or ("server",)]
    metadata = {"name": "iris", "annotations": dict(annotations or {}), "labels": dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def plain_pod(uri: str, *names: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> JsonObject:
    """A pod that KServe does not manage, with a model."""
    return a_pod(*names, annotations={"storage.kserve.io/uri": uri, **(annotations or {})}, **spec)


def kserve_pod(
    uri: str,
    *names: str,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> JsonObject:
    """A pod of an InferenceService, as KServe's controllers make it (default container: `kserve-container`)."""
    annotations = {SOURCE_URI: uri, **(annotations or {})}
    return a_pod(
        *(names or ("kserve-container",)), annotations=annotations, labels={**KSERVE, **(labels or {})}, **spec
    )


def a_container(name: str = "server", **fields: Any) -> JsonObject:
    """A container with the fields that Kubernetes requires."""
    return {"name": name, "image": f"{name}:1", **fields}


def several(*sources: tuple[str, str], **spec: Any) -> JsonObject:
    """A pod with several models: pairs of URI and mount path."""
    entries = [{"uri": uri, "mountPath": path} for uri, path in sources]
    return a_pod(annotations={"storage.kserve.io/uris": json.dumps(entries)}, **spec)


def decide(pod: Any, settings: Settings | None = None, namespace: str = "models", facts: Facts = NO_FACTS) -> Outcome:
    """The outcome for a pod; `settings` by key of the ConfigMap."""
    parsed, _ = parse(settings or {})
    return decide_with(pod, parsed, facts, namespace)


def decide_with(pod: Any, settings: model.Settings, facts: Facts = NO_FACTS, namespace: str = "models") -> Outcome:
    """Like `decide`, with parsed settings: what follows from them is worked out once for several pods."""
    request = pods.read(pod, namespace, settings)
    return request if isinstance(request, Outcome) else pods.apply(pod, request, settings, facts)


def response(pod: Any, outcome: Outcome) -> JsonObject:
    """The AdmissionResponse of an outcome."""
    request = {"uid": "1", "operation": "CREATE", "object": pod}
    parsed = review.from_object({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    found: JsonObject = json.loads(review.respond(parsed, outcome))["response"]
    return found


def answer(
    pod: JsonObject, settings: Settings | None = None, namespace: str = "models", facts: Facts = NO_FACTS
) -> JsonObject:
    """The AdmissionResponse for a pod that is created; `settings` by key of the ConfigMap."""
    given = copy.deepcopy(pod)
    result = response(given, decide(given, settings, namespace, facts))
    assert given == pod, "the received pod must not be modified"
    return result


def mutated(
    pod: JsonObject, settings: Settings | None = None, namespace: str = "models", facts: Facts = NO_FACTS
) -> JsonObject:
    """The pod after the patch. Checks that a second mutation changes nothing."""
    once = patched(pod, answer(pod, settings, namespace, facts))
    assert patched(once, answer(once, settings, namespace, facts)) == once, "re-invocation must change nothing"
    return once


def patched(pod: JsonObject, response: JsonObject) -> JsonObject:
    """Apply the patch of a response to a pod. Fails when it is denied."""
    assert response["allowed"], response["status"]["message"]
    result: JsonObject = jsonpatch.apply_patch(pod, patch_of(response)) if "patch" in response else pod
    return result


def denied(
    pod: JsonObject, settings: Settings | None = None, namespace: str = "models", facts: Facts = NO_FACTS
) -> str:
    """The denial message. Fails when the pod is admitted."""
    response = answer(pod, settings, namespace, facts)
    assert not response["allowed"], "the pod was admitted"
    return str(response["status"]["message"])


def container(pod: JsonObject, name: str) -> JsonObject:
    """The container or init container of this name."""
    spec = pod["spec"]
    found = find(spec["containers"], name) or find(spec.get("initContainers"), name)
    assert found is not None, f"no container {name}"
    return found


def initializer(pod: JsonObject) -> JsonObject:
    """The pod's init container `storage-initializer`."""
    return container(pod, "storage-initializer")


def mount_list(pod: JsonObject, name: str = "server") -> list[JsonObject]:
    """The volume mounts of one of the pod's containers."""
    found: list[JsonObject] = container(pod, name).get("volumeMounts") or []
    return found


def names(items: list[JsonObject] | None) -> list[str]:
    return [item["name"] for item in items or ()]


def env(container: JsonObject) -> dict[str, Any]:
    """The values of variables by name; the complete variable if it has no value."""
    return {variable["name"]: variable.get("value", variable) for variable in container.get("env", ())}


def mounts(container: JsonObject) -> dict[str, JsonObject]:
    """The mounts by mount path, without the path."""
    return {
        mount["mountPath"]: {key: value for key, value in mount.items() if key != "mountPath"}
        for mount in container.get("volumeMounts", ())
    }


def volumes(pod: JsonObject) -> dict[str, JsonObject]:
    """The volumes' sources by name."""
    return {
        volume["name"]: {kind: source for kind, source in volume.items() if kind != "name"}
        for volume in pod["spec"].get("volumes", ())
    }
