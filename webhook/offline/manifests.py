"""Finding and editing pods and Deployments in Kubernetes manifests."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from webhook import yaml_loader
from webhook.admission.workloads import Path, dotted

POD_PATHS: dict[str, Path] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
    "PodTemplate": ("template",),
}
"""The path of the pod, or pod template, in the kinds of Kubernetes."""

load = yaml_loader.load
dump = yaml_loader.dump


class Owner(NamedTuple):
    """The object that contains a pod."""

    name: str
    """For messages: `Kind name`, and the path of the pod template if the kind is not one of Kubernetes."""
    namespace: str
    """"" when the object has none."""
    document: Any
    path: Path
    """The path of the pod in the document."""


Edit = Callable[[Any, Owner], Any]
"""Takes an object and its owner. Returns the edited object, or the same one when nothing changes."""
Find = Callable[[dict[str, Any]], Iterator[Path]]
"""Finds what to edit in an object that is not a list."""


def edit_pods(document: Any, edit: Edit) -> Any:
    """Return the document with each of its pods edited, and the same object when nothing changes.

    Also edits pods in Lists and in AdmissionReviews of CREATE. Other documents are returned unchanged.
    """
    return _edit(document, find_pods, edit)


def edit_deployments(document: Any, edit: Edit) -> Any:
    """Like `edit_pods`, for Deployments."""
    return _edit(document, _find_deployments, edit)


def objects(document: Any) -> Iterator[dict[str, Any]]:
    """The objects in a document: the items of a List, or the document itself."""
    if isinstance(document, dict) and isinstance(kind := document.get("kind"), str):
        items = _items(document, kind)
        if items is None:
            yield document
        for item in items or ():
            yield from objects(_typed(item, kind))


def find_pods(document: dict[str, Any]) -> Iterator[Path]:
    """The paths of the pod and the pod templates in an object.

    In kinds that Kubernetes does not have, a pod template is what looks like one.
    """
    kind = document.get("kind")
    if kind == "AdmissionReview":
        yield from [("request", "object")] if _creates("Pod", document) else []
    elif isinstance(kind, str) and kind in POD_PATHS:
        yield from [POD_PATHS[kind]] if _is_at(document, POD_PATHS[kind]) else []
    else:
        yield from _find_templates(document, ())


def _find_deployments(document: dict[str, Any]) -> Iterator[Path]:
    if document.get("kind") == "Deployment":
        yield ()
    elif document.get("kind") == "AdmissionReview" and _creates("Deployment", document):
        yield ("request", "object")


def _find_templates(value: Any, path: Path) -> Iterator[Path]:
    if path and _is_template(value):
        yield path
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _find_templates(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _find_templates(child, (*path, index))


def _is_template(value: Any) -> bool:
    spec = value.get("spec") if isinstance(value, dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    return isinstance(containers, list) and all(isinstance(each, dict) and "name" in each for each in containers)


def _is_at(value: Any, path: Path) -> bool:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return isinstance(value, dict)


def name_of(document: Any) -> str:
    """Kind and name of a document for messages, such as `Deployment iris`; for an AdmissionReview, of its object."""
    if not isinstance(document, dict):
        return "the document"
    if document.get("kind") == "AdmissionReview" and isinstance(document.get("request"), dict):
        return name_of(document["request"].get("object"))
    metadata = document.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{document.get('kind')} {name}" if name else str(document.get("kind"))


def _edit(document: Any, find: Find, edit: Edit) -> Any:
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str):
        return document
    items = _items(document, kind)
    if items is not None:
        edited = [_edit_item(item, kind, find, edit) for item in items]
        return document if all(map(operator.is_, edited, items)) else {**document, "items": edited}
    for path in list(find(document)):
        document = _edit_at(document, path, edit, _owner(document, path))
    return document


def _items(document: dict[str, Any], kind: str) -> list[Any] | None:
    """The items of a List; None for other objects."""
    items = document.get("items")
    return items if kind.endswith("List") and isinstance(items, list) else None


def _typed(item: Any, kind: str) -> Any:
    """An item with its kind, which items of a typed list can omit."""
    missing = isinstance(item, dict) and "kind" not in item and kind != "List"
    return {**item, "kind": kind.removesuffix("List")} if missing else item


def _edit_item(item: Any, kind: str, find: Find, edit: Edit) -> Any:
    typed = _typed(item, kind)
    edited = _edit(typed, find, edit)
    if typed is item:
        return edited
    return item if edited is typed else {key: value for key, value in edited.items() if key != "kind"}


def _creates(target_kind: str, review: dict[str, Any]) -> bool:
    request = review.get("request")
    if not isinstance(request, dict) or request.get("subResource") or not isinstance(request.get("object"), dict):
        return False
    kind = request.get("kind")
    return isinstance(kind, dict) and kind.get("kind") == target_kind and request.get("operation") == "CREATE"


def _edit_at(value: Any, path: Path, edit: Edit, owner: Owner) -> Any:
    if not path:
        return edit(value, owner)
    key, *rest = path
    edited = _edit_at(value[key], tuple(rest), edit, owner)
    if edited is value[key]:
        return value
    return [*value[:key], edited, *value[key + 1 :]] if isinstance(key, int) else {**value, key: edited}


def _owner(document: dict[str, Any], path: Path) -> Owner:
    is_review = document.get("kind") == "AdmissionReview"
    holder = document["request"] if is_review else document.get("metadata")
    namespace = holder.get("namespace") if isinstance(holder, dict) else None
    name = name_of(document) if is_review or document["kind"] in POD_PATHS else f"{name_of(document)}, {dotted(path)}"
    return Owner(name, namespace if isinstance(namespace, str) else "", document, path)
