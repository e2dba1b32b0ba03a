"""Jobs that fill a shared cache before the pods start that need it.

The pod of such a Job is the pod that it warms the cache for, with containers that do nothing. The webhook gives it the
same init container, so it downloads with the same credentials and finds the same key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import quoted
from webhook.pod.pod import JsonObject
from webhook.uri import is_claim

NOTHING = ("python3", "-I", "-c", "pass")
"""The command of the containers. The image of KServe's storage initializer has Python."""

# What decides where the pod runs, who it is, and which bytes it downloads. Volumes are left out: the pod needs no
# other than those that the webhook adds.
_KEPT = (
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostNetwork",
    "hostUsers",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "os",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
)
_KEPT_OF_CONTAINER = ("name", "env", "securityContext")
_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
# A pod without this label could become an endpoint of a Service, and a sidecar would keep it from ending.
_LABELS = {"app.kubernetes.io/managed-by": "storage-webhook", "sidecar.istio.io/inject": "false"}
_GROUPS = ("storage.kserve.io/", "serving.kserve.io/", "internal.serving.kserve.io/")
_SECONDS_KEPT = 86400
_RETRIES = 3
_MAX_NAME = 63
_DIGEST = 10


def job(template: JsonObject, namespace: str | None, image: str, claim: str | None) -> JsonObject:
    """The Job for the pods of a template. `claim`: the cache, instead of the one that the template names.

    Raises ValueError when the template requests no model, or one in a claim.
    """
    pod = _pod(template, image, claim)
    text = json.dumps([pod, namespace], sort_keys=True)
    metadata: JsonObject = {"name": _name(pod, hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]), "labels": _LABELS}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"backoffLimit": _RETRIES, "ttlSecondsAfterFinished": _SECONDS_KEPT, "template": pod},
    }


def template_of(uri: str, service_account: str | None, fs_group: int | None) -> JsonObject:
    """The template of a pod that requests one model. The Pod Security Standard `restricted` admits it."""
    spec: JsonObject = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "warm",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    if fs_group is not None:
        spec["securityContext"]["fsGroup"] = fs_group
    if service_account:
        spec["serviceAccountName"] = service_account
    return {"metadata": {"annotations": {str(keys.URI): uri}}, "spec": spec}


def _pod(template: JsonObject, image: str, claim: str | None) -> JsonObject:
    annotations = {key: value for key, value in _map(template, "annotations").items() if key.startswith(_GROUPS)}
    labels = {key: value for key, value in _map(template, "labels").items() if key.startswith(_GROUPS)}
    if not (uri := _uri(annotations)):
        raise ValueError(f"it has no annotation {keys.URI}, so its pods download no model into a shared cache")
    if is_claim(uri):
        raise ValueError(f"{quoted(uri)} is in a claim already, so it needs no cache")
    if claim:
        annotations[str(keys.CACHE)] = claim
    spec = template["spec"]
    kept = {name: spec[name] for name in _KEPT if name in spec}
    started = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") != "Always"]
    if started:
        kept["initContainers"] = [_idle(each, image) for each in started]
    kept["containers"] = [_idle(each, image) for each in spec["containers"]]
    return {
        "metadata": {"labels": labels | _LABELS, "annotations": annotations},
        "spec": {**kept, "restartPolicy": "Never"},
    }


def _idle(container: JsonObject, image: str) -> JsonObject:
    """A container of the same name and environment that ends at once. The init container may copy the environment."""
    kept = {name: container[name] for name in _KEPT_OF_CONTAINER if name in container}
    return {**kept, "image": image, "command": list(NOTHING), "resources": _RESOURCES}


def _map(template: JsonObject, field: str) -> Mapping[str, Any]:
    return (template.get("metadata") or {}).get(field) or {}


def _uri(annotations: Mapping[str, Any]) -> str:
    return str(annotations.get(keys.URI) or annotations.get(keys.SOURCE_URI) or "")


def _name(pod: JsonObject, digest: str) -> str:
    """A name that is the same for the same pod, so that creating the Job again changes nothing."""
    path = re.split(r"[?#]", _uri(pod["metadata"]["annotations"]))[0].rstrip("/").rpartition("/")[2]
    model = re.sub(r"[^a-z0-9]+", "-", path.lower())[: _MAX_NAME - _DIGEST - len("warm--")].strip("-")
    return "-".join(filter(None, ("warm", model, digest)))
