"""Advice about annotations that reach no pod from where they are, with the command to run next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from webhook import annotations as keys
from webhook.admission.workloads import Path, dotted, misplaced, misplaced_annotations
from webhook.errors import redacted
from webhook.offline.manifests import POD_PATHS, find_pods

_COPIED_BY_KSERVE: Mapping[str, Path] = {
    "InferenceService": ("metadata", "annotations"),
    "ServingRuntime": ("spec", "annotations"),
    "ClusterServingRuntime": ("spec", "annotations"),
    "LLMInferenceService": ("spec", "annotations"),
    "LLMInferenceServiceConfig": ("spec", "annotations"),
}
"""The path of the annotations that KServe copies to the pods of an object."""


class Advice(NamedTuple):
    """A sentence for the author of an object."""

    is_command: bool
    """The sentence ends with the command to run next; else it is a warning."""
    text: str


def advice(document: Any) -> Iterator[Advice]:
    """Advice about the annotations of an object that reach no pod, and about kinds without pods."""
    found = document["request"].get("object") if _is_review(document) else document
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        return
    if found["kind"] in _COPIED_BY_KSERVE and str(found.get("apiVersion")).startswith("serving.kserve.io/"):
        yield from _about_kserve(found, _COPIED_BY_KSERVE[found["kind"]])
        return
    paths = list(find_pods(found))
    for path in paths:
        yield from _about_template(found, path)
    elsewhere = _elsewhere(found, paths)
    for place, wrong in elsewhere.items():
        yield from _about_place(found, place, wrong, paths)
    if not paths:
        yield from _without_template(found, elsewhere)


def _is_review(document: Any) -> bool:
    return document.get("kind") == "AdmissionReview" and isinstance(document.get("request"), dict)


def _about_kserve(found: Mapping[str, Any], copied: Path) -> Iterator[Advice]:
    if wrong := misplaced_annotations(found, copied):
        yield _warning(wrong, f"no effect in metadata.annotations: move to {dotted(copied)}")
        yield Advice(True, f"to change the {found['kind']} in the cluster: {_change(found, copied, wrong)}")
    yield Advice(
        True,
        f"KServe creates its pods, and copies {dotted(copied)} to them. To see what the webhook does with these pods: "
        f"{_preview(found)}",
    )


def _about_template(found: Mapping[str, Any], path: Path) -> Iterator[Advice]:
    target = (*path, "metadata", "annotations")
    wrong = misplaced_annotations(found, target)
    if found["kind"] in POD_PATHS:
        yield from (Advice(False, sentence) for sentence in misplaced(found, path))
    elif wrong:
        yield _warning(wrong, f"an effect only if the controller copies it to pods: move to {dotted(target)}")
    if wrong:
        yield Advice(True, f"to change the {found['kind']} in the cluster: {_change(found, target, wrong)}")


def _elsewhere(found: Mapping[str, Any], paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """The webhook's annotations in an object, by their place; not those of pods, and of what contains them."""
    containing = {(), *(path[:length] for path in paths for length in range(len(path) + 1))}
    places: dict[Path, dict[str, str]] = {}
    for place, key, value in _annotations(found, ()):
        if place[-2:] != ("metadata", "annotations") or place[:-2] not in containing:
            places.setdefault(place, {})[key] = str(value)
    return places


def _annotations(value: Any, path: Path) -> Iterator[tuple[Path, str, Any]]:
    """The webhook's annotations anywhere in a value, with the path of the object that has them."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key in keys.KNOWN:
                yield path, key, child
            else:
                yield from _annotations(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _annotations(child, (*path, index))


def _about_place(
    found: Mapping[str, Any], place: Path, wrong: Mapping[str, str], paths: Sequence[Path]
) -> Iterator[Advice]:
    where = dotted(place)
    if not paths:
        yield _warning(wrong, f"an effect only if the controller copies it to pods: {where} is not known")
        return
    target = (*max(paths, key=lambda path: _common(path, place)), "metadata", "annotations")
    is_known = found["kind"] in POD_PATHS
    effect = f"no effect in {where}" if is_known else f"an effect in {where} only if the controller copies it to pods"
    yield _warning(wrong, f"{effect}: move to {dotted(target)}")
    yield Advice(True, f"to change the {found['kind']} in the cluster: {_change(found, target, wrong)}")


def _common(one: Path, other: Path) -> int:
    """The length of the path that two paths begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _without_template(found: Mapping[str, Any], elsewhere: Mapping[Path, Any]) -> Iterator[Advice]:
    wrong = misplaced_annotations(found, ("spec", "template", "metadata", "annotations"))
    if wrong:
        yield _warning(wrong, f"no effect on the {found['kind']}, which has no pod template")
    if wrong or elsewhere:
        yield Advice(True, f"to see what the webhook does with pods: {_preview(found)}")


def _warning(annotations: Mapping[str, str], effect: str) -> Advice:
    several = len(annotations) > 1
    return Advice(False, f"annotation{'s' * several} {', '.join(annotations)} {'have' if several else 'has'} {effect}")


def _change(found: Mapping[str, Any], target: Path, annotations: Mapping[str, str]) -> str:
    """The command that sets annotations at a path of an object."""
    if found["kind"] in ("Job", "Pod"):
        # The pod template of a Job cannot be changed, and a pod gets its model when it is created.
        return "kubectl replace --force -f FILE, with the corrected manifest"
    # A merge patch replaces lists, and a command is no place for a password in a URI.
    if any(isinstance(key, int) for key in target) or any(redacted(text) != text for text in annotations.values()):
        return f"kubectl edit {_reference(found)}"
    patch: Any = annotations
    for key in reversed(target):
        patch = {key: patch}
    return f"kubectl patch {_reference(found)} --type merge --patch {shlex.quote(json.dumps(patch))}"


def _preview(found: Mapping[str, Any]) -> str:
    """The command that shows what happens to the pods of an object; to all pods of its namespace if it has none."""
    kind, metadata = found["kind"], _metadata(found)
    name = str(metadata.get("name") or "")
    labels = {
        "InferenceService": f"{keys.INFERENCE_SERVICE}={name}",
        "LLMInferenceService": f"app.kubernetes.io/part-of=llminferenceservice,app.kubernetes.io/name={name}",
    }.get(kind, keys.INFERENCE_SERVICE)
    selector = f" --selector {shlex.quote(labels)}" if kind in _COPIED_BY_KSERVE else ""
    where = " --all-namespaces" if kind.startswith("Cluster") else _namespace(metadata)
    return f"kubectl get pods{where}{selector} --output yaml | storage-webhook mutate --explain -f -"


def _reference(found: Mapping[str, Any]) -> str:
    group, slash, _ = str(found.get("apiVersion") or "").partition("/")
    metadata = _metadata(found)
    kind = f"{found['kind'].lower()}.{group}" if slash else found["kind"].lower()
    return shlex.quote(f"{kind}/{metadata.get('name') or 'NAME'}") + _namespace(metadata)


def _namespace(metadata: Mapping[str, Any]) -> str:
    return f" --namespace {shlex.quote(str(metadata['namespace']))}" if metadata.get("namespace") else ""


def _metadata(found: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
