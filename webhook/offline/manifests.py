"""Finding and editing pods and Deployments in Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from webhook import yaml_loader
from webhook.admission.workloads import misplaced

# The path of the pod, or pod template, in each kind.
_POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
    "PodTemplate": ("template",),
}

load = yaml_loader.load
dump = yaml_loader.dump


class Owner(NamedTuple):
    """The object that contains a pod: `Kind name`, and its namespace ("" when it has none)."""

    name: str
    namespace: str
    warnings: tuple[str, ...] = ()
    """A sentence for each annotation or label that is on the object, and belongs on its pod template."""


Edit = Callable[[Any, Owner], Any]
"""Takes an object and its owner. Returns the edited object, or the same one when nothing changes."""
Paths = Mapping[str, tuple[str, ...]]


def edit_pods(document: Any, edit: Edit) -> Any:
    """Return the document with each of its pods edited, and the same object when nothing changes.

    Also edits pods in Lists and in AdmissionReviews of CREATE. Other documents are returned unchanged.
    """
    return _edit(document, "Pod", _POD_PATHS, edit)


def edit_deployments(document: Any, edit: Edit) -> Any:
    """Like `edit_pods`, for Deployments."""
    return _edit(document, "Deployment", {"Deployment": ()}, edit)


def name_of(document: Any) -> str:
    """Kind and name of a document for messages, such as `Deployment iris`; for an AdmissionReview, of its object."""
    if not isinstance(document, dict):
        return "the document"
    if document.get("kind") == "AdmissionReview" and isinstance(document.get("request"), dict):
        return name_of(document["request"].get("object"))
    metadata = document.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{document.get('kind')} {name}" if name else str(document.get("kind"))


def _edit(document: Any, target_kind: str, paths: Paths, edit: Edit) -> Any:
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str):
        return document
    if kind.endswith("List") and isinstance(document.get("items"), list):
        # Items of a typed list can omit their kind.
        items = [_edit_item(item, kind.removesuffix("List"), target_kind, paths, edit) for item in document["items"]]
        same = all(new is old for new, old in zip(items, document["items"], strict=True))
        return document if same else {**document, "items": items}
    if kind == "AdmissionReview" and _creates(target_kind, document):
        return _edit_at(document, ("request", "object"), edit, _owner(document))
    return _edit_at(document, paths[kind], edit, _owner(document)) if kind in paths else document


def _edit_item(item: Any, kind: str, target_kind: str, paths: Paths, edit: Edit) -> Any:
    if not isinstance(item, dict) or "kind" in item or not kind:
        return _edit(item, target_kind, paths, edit)
    typed = {**item, "kind": kind}
    edited = _edit(typed, target_kind, paths, edit)
    return item if edited is typed else {key: value for key, value in edited.items() if key != "kind"}


def _creates(target_kind: str, review: dict[str, Any]) -> bool:
    request = review.get("request")
    if not isinstance(request, dict) or request.get("subResource"):
        return False
    kind = request.get("kind")
    return isinstance(kind, dict) and kind.get("kind") == target_kind and request.get("operation") == "CREATE"


def _edit_at(value: Any, path: tuple[str, ...], edit: Edit, owner: Owner) -> Any:
    if not path:
        return edit(value, owner)
    key, *rest = path
    if not isinstance(value, dict) or not isinstance(value.get(key), dict):
        return value
    edited = _edit_at(value[key], tuple(rest), edit, owner)
    return value if edited is value[key] else {**value, key: edited}


def _owner(document: dict[str, Any]) -> Owner:
    if document.get("kind") == "AdmissionReview":
        holder, contained = document["request"], document["request"].get("object")
    else:
        holder, contained = document.get("metadata"), document
    namespace = holder.get("namespace") if isinstance(holder, dict) else None
    return Owner(name_of(document), namespace if isinstance(namespace, str) else "", _misplaced(contained))


def _misplaced(document: Any) -> tuple[str, ...]:
    kind = document.get("kind") if isinstance(document, dict) else None
    path = _POD_PATHS.get(kind) if isinstance(kind, str) else None
    return misplaced(document, path) if path else ()
