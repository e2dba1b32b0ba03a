"""Manifests of Kubernetes: the pods in them, and what becomes of the whole when one is edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from webhook import yaml_text

# Where a kind keeps its pod, as keys to follow.
_POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
    "PodTemplate": ("template",),
}

load = yaml_text.load
dump = yaml_text.dump


class Place(NamedTuple):
    """Where something was found: what it belongs to as `Kind name`, and its namespace ("" when it has none)."""

    owner: str
    namespace: str


Edit = Callable[[Any, Place], Any]
"""Takes an object, and returns it edited, or the very same when unchanged."""
Paths = Mapping[str, tuple[str, ...]]


def edit_pods(document: Any, edit: Edit) -> Any:
    """The document with each pod in it edited.

    Lists are followed, and reviews of what is created; unknown kinds and shapes come back as they are.
    """
    return _edit(document, "Pod", _POD_PATHS, edit)


def edit_deployments(document: Any, edit: Edit) -> Any:
    """Like `edit_pods`, of Deployments."""
    return _edit(document, "Deployment", {"Deployment": ()}, edit)


def name_of(document: Any) -> str:
    """A document as messages name it: `Deployment iris`; of an AdmissionReview, the object that it is about."""
    if not isinstance(document, dict):
        return "the document"
    if document.get("kind") == "AdmissionReview" and isinstance(document.get("request"), dict):
        return name_of(document["request"].get("object"))
    metadata = document.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{document.get('kind')} {name}" if name else str(document.get("kind"))


def _edit(document: Any, sought: str, paths: Paths, edit: Edit) -> Any:
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str):
        return document
    if kind.endswith("List") and isinstance(document.get("items"), list):
        # The items of a typed list need not say their kind.
        items = [_edit_item(item, kind.removesuffix("List"), sought, paths, edit) for item in document["items"]]
        same = all(new is old for new, old in zip(items, document["items"], strict=True))
        return document if same else {**document, "items": items}
    if kind == "AdmissionReview" and _asks_for_a_new(sought, document):
        return _edit_at(document, ("request", "object"), edit, _place(document))
    return _edit_at(document, paths[kind], edit, _place(document)) if kind in paths else document


def _edit_item(item: Any, kind: str, sought: str, paths: Paths, edit: Edit) -> Any:
    if not isinstance(item, dict) or "kind" in item or not kind:
        return _edit(item, sought, paths, edit)
    typed = {**item, "kind": kind}
    edited = _edit(typed, sought, paths, edit)
    return item if edited is typed else {key: value for key, value in edited.items() if key != "kind"}


def _asks_for_a_new(sought: str, review: dict[str, Any]) -> bool:
    request = review.get("request")
    if not isinstance(request, dict) or request.get("subResource"):
        return False
    kind = request.get("kind")
    return isinstance(kind, dict) and kind.get("kind") == sought and request.get("operation") == "CREATE"


def _edit_at(value: Any, path: tuple[str, ...], edit: Edit, place: Place) -> Any:
    if not path:
        return edit(value, place)
    key, *rest = path
    if not isinstance(value, dict) or not isinstance(value.get(key), dict):
        return value
    edited = _edit_at(value[key], tuple(rest), edit, place)
    return value if edited is value[key] else {**value, key: edited}


def _place(document: dict[str, Any]) -> Place:
    holder = document.get("request") if document.get("kind") == "AdmissionReview" else document.get("metadata")
    namespace = holder.get("namespace") if isinstance(holder, dict) else None
    return Place(name_of(document), namespace if isinstance(namespace, str) else "")
