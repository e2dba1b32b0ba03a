"""Reads a pod's annotations and labels into a ModelRequest."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import Denied, Forbidden, quoted
from webhook.pod.pod import INIT_CONTAINER_NAME, check_shape, find, metadata_map
from webhook.request.model_request import ModelRequest, Skip
from webhook.request.sources import read_sources
from webhook.request.targets import read_targets
from webhook.settings.model import Settings

_MAX_WARNINGS = 16
_MAX_COMPARED = 100


def read(pod: Mapping[str, Any], namespace: str, settings: Settings) -> ModelRequest | Skip:
    """The pod's request for a model, or the reason why nothing is injected.

    Raises Denied when an annotation is invalid or contradicts another, Forbidden when the settings do not allow it.
    """
    labels, annotations = metadata_map(pod, "labels"), metadata_map(pod, "annotations")
    if labels.get(keys.INJECT) == "disabled":
        return Skip("disabled")
    # Most pods do not request a model and return here.
    if keys.INFERENCE_SERVICE not in labels:
        if keys.URI not in annotations and keys.URIS not in annotations:
            return Skip("no-uri")
        annotations = _without_internal(annotations)
    if keys.AGENT in annotations:
        return Skip("agent-injected")
    requests_model = any(key in annotations for key in (keys.URI, keys.URIS, keys.SOURCE_URI))
    check_shape(pod)
    if find(pod["spec"].get("initContainers"), INIT_CONTAINER_NAME):
        return _read_reinvoked(namespace, settings, annotations)
    if not requests_model:
        return Skip("no-uri")
    return _read_request(pod, namespace, settings, annotations, labels)


def _read_reinvoked(namespace: str, settings: Settings, annotations: Mapping[str, str]) -> ModelRequest:
    warnings = list(unknown_annotations(annotations))
    read_only = _read_read_only(annotations, namespace, settings, warnings)
    return ModelRequest(namespace, annotations, read_only=read_only, already_injected=True, warnings=tuple(warnings))


def _read_request(
    pod: Mapping[str, Any],
    namespace: str,
    settings: Settings,
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
) -> ModelRequest:
    warnings = list(unknown_annotations(annotations))
    several = keys.URIS in annotations
    sources = read_sources(annotations, labels, settings)
    return ModelRequest(
        namespace=namespace,
        annotations=annotations,
        sources=sources,
        several=several,
        targets=read_targets(pod, sources, annotations, labels, warnings),
        read_only=_read_read_only(annotations, namespace, settings, warnings),
        direct=_read_direct(annotations, several, settings),
        service_account=pod["spec"].get("serviceAccountName") or "default",
        warnings=tuple(warnings),
    )


def _without_internal(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """The annotations without KServe's internal ones, which any user can set on a pod that KServe does not manage."""
    return {key: value for key, value in annotations.items() if not key.startswith(keys.INTERNAL)}


def unknown_annotations(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each unknown `storage.kserve.io/` annotation, with the most similar name; the first few only."""
    unknown = [key for key in annotations if key.startswith(keys.PREFIX) and key not in keys.KNOWN]
    return tuple(_unknown_warning(key) for key in unknown[:_MAX_WARNINGS]) if unknown else ()


def _unknown_warning(key: str) -> str:
    if key == keys.INJECT:
        return f"annotation {key} has no effect: set it as a label"
    # The comparison is slow for long names, and no known name is that long.
    similar = difflib.get_close_matches(key, keys.KNOWN, n=1) if len(key) < _MAX_COMPARED else []
    return f"annotation {quoted(key)} is unknown and has no effect" + (
        f"; did you mean {similar[0]}?" if similar else ""
    )


def _read_read_only(annotations: Mapping[str, str], namespace: str, settings: Settings, warnings: list[str]) -> bool:
    defaults = settings.storage_defaults
    text = annotations.get(keys.READ_ONLY)
    if text is None:
        return defaults.read_only or not defaults.may_write(namespace)
    wanted = text.strip().lower()
    if wanted not in ("true", "false"):
        warnings.append(
            f"annotation {keys.READ_ONLY} {quoted(text)} is neither true nor false: the model is mounted read-only"
        )
    if wanted != "false":
        return True
    if not defaults.may_write(namespace):
        raise Forbidden(
            f'annotation {keys.READ_ONLY} "false" is not allowed in namespace {quoted(namespace)}: remove it to mount '
            "the model read-only, or ask the administrator about the setting storageDefaults.allowReadWrite"
        )
    return False


def _read_direct(annotations: Mapping[str, str], several: bool, settings: Settings) -> bool:
    mode = annotations.get(keys.PVC_MOUNT)
    if mode not in (None, "direct", "copy"):
        raise Denied(f"annotation {keys.PVC_MOUNT} {quoted(mode)} is invalid: use direct or copy")
    if several:
        if mode == "copy":
            raise Denied(
                f"annotation {keys.PVC_MOUNT} copy cannot be combined with {keys.URIS}, "
                "whose claims are always mounted: remove it"
            )
        return True
    return mode == "direct" or (mode is None and settings.storage_initializer.enable_direct_pvc_volume_mount)
