"""Manifests of Kubernetes: the pods in them, and what becomes of the whole when one is mutated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webhook import yaml_text

# Where a kind keeps its pod, as keys to follow.
_POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "AdmissionReview": ("request", "object"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
    "PodTemplate": ("template",),
}

load = yaml_text.load
dump = yaml_text.dump

EditPod = Callable[[Any, str], Any]
"""Takes a pod and its namespace ("" when it has none); returns the edited pod, or the very same when unchanged."""


def edit_pods(document: Any, edit: EditPod) -> Any:
    """The document with each pod in it edited; lists are followed, unknown kinds and shapes come back as they are."""
    if not isinstance(document, dict):
        return document
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list):
        return {**document, "items": [edit_pods(item, edit) for item in document["items"]]}
    path = _POD_PATHS.get(kind) if isinstance(kind, str) else None
    return document if path is None else _edit_at(document, path, edit, _namespace(document))


def _edit_at(value: Any, path: tuple[str, ...], edit: EditPod, namespace: str) -> Any:
    if not path:
        return edit(value, namespace)
    key, *rest = path
    if not isinstance(value, dict) or not isinstance(value.get(key), dict):
        return value
    edited = _edit_at(value[key], tuple(rest), edit, namespace)
    return value if edited is value[key] else {**value, key: edited}


def _namespace(document: dict[str, Any]) -> str:
    holder = document.get("request") if document.get("kind") == "AdmissionReview" else document.get("metadata")
    namespace = holder.get("namespace") if isinstance(holder, dict) else None
    return namespace if isinstance(namespace, str) else ""
