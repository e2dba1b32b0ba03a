"""Warnings about the pod template of a workload, for its author. Pure.

Controllers create the pods of a workload, so warnings on pods end in a controller's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from webhook import annotations as keys
from webhook.admission.outcome import Outcome, audit_annotations, skipped
from webhook.pod.draft import JsonObject
from webhook.pod.pod import metadata_list
from webhook.request.unknown_annotations import unknown_keys
from webhook.settings.model import Settings

Path = tuple[str | int, ...]
"""The keys and list indices that lead to a value in an object."""

TEMPLATES: Mapping[tuple[str, str], Path] = {
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""The path of the pod template, by API group and kind of the workload."""

_FOR_DEPLOYMENTS = frozenset({keys.ROLLOUT_STRATEGY, keys.PROGRESS_DEADLINE, keys.ROLLOUT_APPLIED})
_LABELS = (keys.INJECT, keys.INFERENCE_SERVICE)


def template_of(workload: Any, old: Any, path: Path) -> JsonObject | Outcome:
    """The pod template to advise on; an outcome when there is nothing to say.

    `old` is the workload before an update, None on creation; `path` is the path of the template.
    """
    template = _at(workload, path)
    if not isinstance(template, dict) or not isinstance(workload.get("metadata"), dict):
        return skipped("not-a-workload")
    if _at(workload, ("metadata", "deletionTimestamp")):
        return skipped("being-deleted")
    if any(owner.get("controller") is True for owner in metadata_list(workload, "ownerReferences")):
        return skipped("owned")
    if _texts(template, "labels").get(keys.INJECT) == "disabled":
        return skipped("disabled")
    if old is not None and template == _at(old, path) and _places(workload, path) == _places(old, path):
        return skipped("same-template")
    return template


def advise(workload: JsonObject, path: Path, pods: Outcome, settings: Settings) -> Outcome:
    """The outcome for a workload whose pods would have the outcome `pods`; the most important warning first.

    Never a denial: the workload itself is well formed. A failed lookup is not the author's concern.
    """
    wrong_place = misplaced(workload, path)
    if pods.kind == "denied":
        return skipped("pods-denied", (pods_denied(pods.message, observing=settings.observing), *wrong_place))
    warnings = (*wrong_place, *pods.warnings)
    if reason := "lookup-failed" if pods.kind == "failed" else pods.reason:
        return skipped(reason, warnings)
    return Outcome("unchanged", warnings=warnings, audit=audit_annotations("unchanged"))


def pods_denied(message: str, *, observing: bool = False) -> str:
    """The warning that the pods of a workload will be denied with this message; `observing`: would be.

    The API server shows the same warning of two webhooks once. Short, because it cuts warnings.
    """
    return f"the pods {'would' if observing else 'will'} be denied: {message}"


def misplaced(workload: Any, path: Path) -> tuple[str, ...]:
    """A sentence for each annotation or label of ours that is outside of the pod template, so that no pod gets it.

    `path` is the path of the template. Annotations that are meant for Deployments, and what the template has too, are
    in the right place. Never raises: empty for malformed objects.
    """
    template = _at(workload, path)
    annotations, labels = _texts(template, "annotations"), _texts(template, "labels")
    target = f"{dotted(path)}.metadata"
    return tuple(
        sentence
        for place in _places(workload, path)
        for sentence in (
            *_about_annotations(place, annotations, target),
            *_about_labels(place, annotations, labels, target),
        )
    )


def misplaced_annotations(found: Any, target: Path) -> dict[str, str]:
    """The known annotations of an object that are not among those at the path `target`, with their values."""
    annotations = _strings(_at(found, target))
    places = _places(found, target[:-1])
    return {key: text for place in places for key, text in _missing(place, annotations).items() if key in keys.KNOWN}


class _Place(NamedTuple):
    """What is ours in the metadata of an object that contains a pod template."""

    name: str
    annotations: Mapping[str, str]
    labels: Mapping[str, str]


def _places(workload: Any, path: Path) -> list[_Place]:
    """The workload, and a CronJob's jobTemplate."""
    parents = [path[:length] for length in range(len(path))]
    return [_place(workload, parent) for parent in parents if isinstance(_at(workload, (*parent, "metadata")), dict)]


def _place(workload: Any, path: Path) -> _Place:
    holder = _at(workload, path)
    annotations, labels = _texts(holder, "annotations"), _texts(holder, "labels")
    return _Place(
        f"in {dotted(path)}.metadata" if path else f"on the {workload.get('kind') or 'object'}",
        {key: text for key, text in annotations.items() if key.startswith(keys.PREFIX) and key not in _FOR_DEPLOYMENTS},
        {key: text for key, text in labels.items() if key in _LABELS},
    )


def _missing(place: _Place, annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in place.annotations.items() if annotations.get(key) != text}


def _about_annotations(place: _Place, annotations: Mapping[str, str], target: str) -> Iterator[str]:
    """Those that request a model come first. `annotations` are the template's."""
    wrong = _missing(place, annotations)
    for key in keys.ALL:
        if key in wrong and key in keys.KNOWN:
            yield f"annotation {key} has no effect {place.name}: set it in {target}.annotations"
    yield from unknown_keys(wrong, {})


def _about_labels(
    place: _Place, annotations: Mapping[str, str], labels: Mapping[str, str], target: str
) -> Iterator[str]:
    """A label counts only if it decides what the template's annotations mean."""
    missing = place.labels.keys() - labels.keys()
    if keys.INJECT in missing and any(key.startswith(keys.PREFIX) for key in annotations):
        yield f"label {keys.INJECT} {place.name} does not turn off injection for its pods: set it in {target}.labels"
    if keys.INFERENCE_SERVICE in missing and keys.SOURCE_URI in annotations:
        yield f"label {keys.INFERENCE_SERVICE} has no effect {place.name}: set it in {target}.labels"


def dotted(path: Path) -> str:
    """The path as in messages, such as `spec.workers[0].template`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def _at(value: Any, path: Path) -> Any:
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _texts(holder: Any, field: str) -> Mapping[str, str]:
    """The annotations or labels of an object; empty for malformed ones."""
    return _strings(_at(holder, ("metadata", field)))


def _strings(found: Any) -> Mapping[str, str]:
    return {key: text for key, text in found.items() if isinstance(key, str)} if isinstance(found, dict) else {}
