"""Reads a pod's annotations and labels into a ModelRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.pod.pod import INIT_CONTAINER_NAME, check_shape, find, metadata_map
from webhook.request.access import read_read_only
from webhook.request.download_options import check_digests, is_digest_required, missing_digest
from webhook.request.injected import as_delivered, download_volumes, is_injected
from webhook.request.model_request import ModelRequest, Skip, Source
from webhook.request.pull_secrets import read_pull_secrets
from webhook.request.sources import read_sources
from webhook.request.targets import init_targets, read_targets
from webhook.request.unknown_annotations import unknown_keys
from webhook.settings.access import Requester
from webhook.settings.model import Settings

MAX_ANNOTATIONS = 256 * 1024
"""The size in bytes of all annotations of an object (Kubernetes: TotalAnnotationSizeLimitB). It is checked after
admission, so without this check larger ones would be read here."""

MAX_PATHS = 512 * 1024
"""The maximum length of all URIs and mount paths in all containers: each container repeats those of all models, and
Kubernetes cannot store a pod of more than 1.5 MiB (etcd: max-request-bytes)."""

HEADERS_SUFFIX = "-headers"
"""End of the name of a variable with headers; the start is the host (KServe)."""


def read(pod: Mapping[str, Any], namespace: str, settings: Settings) -> ModelRequest | Skip:
    """The pod's request for a model, or the reason why nothing is injected.

    Raises Denied when an annotation is invalid or contradicts another, Forbidden when the settings do not allow it.
    """
    labels, annotations = metadata_map(pod, "labels"), metadata_map(pod, "annotations")
    if labels.get(keys.INJECT) == "disabled":
        return _skip("disabled", annotations, labels)
    # Most pods do not request a model and return here.
    if keys.INFERENCE_SERVICE not in labels:
        if keys.URI not in annotations and keys.URIS not in annotations:
            return _skip("no-uri", annotations, labels)
        annotations = _without_internal(annotations)
    if keys.AGENT in annotations:
        return _skip("agent-injected", annotations, labels)
    _check_size(annotations)
    requests_model = any(key in annotations for key in (keys.URI, keys.URIS, keys.SOURCE_URI))
    check_shape(pod)
    initializer = find(pod["spec"].get("initContainers"), INIT_CONTAINER_NAME)
    if initializer and not _is_authors_own(pod, initializer, annotations, labels, settings):
        return _read_reinvoked(pod, namespace, settings, annotations, labels)
    if not requests_model:
        return _skip("no-uri", annotations, labels)
    return _read_request(pod, namespace, settings, annotations, labels)


def _skip(reason: str, annotations: Mapping[str, str], labels: Mapping[str, str]) -> Skip:
    return Skip(reason, unknown_keys(annotations, labels))


def _check_size(annotations: Mapping[str, str]) -> None:
    size = sum(map(len, annotations)) + sum(map(len, annotations.values()))
    if size > MAX_ANNOTATIONS:
        raise Denied(
            f"the annotations of the pod are {size} characters long together: Kubernetes accepts {MAX_ANNOTATIONS}"
        )


def _check_paths(sources: tuple[Source, ...], targets: tuple[str, ...]) -> None:
    size = len(targets) * sum(len(source.uri) + len(source.mount_path) for source in sources)
    if size > MAX_PATHS:
        raise Denied(
            f"annotation {keys.URIS}: the URIs and mount paths of {len(sources)} models in {len(targets)} containers "
            f"are {size} characters long together: the maximum is {MAX_PATHS}; use shorter paths"
        )


def _is_authors_own(
    pod: Mapping[str, Any],
    initializer: Mapping[str, Any],
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
    settings: Settings,
) -> bool:
    """Whether the init container belongs to the pod's author, and the request needs none of this name."""
    requests_images = any("oci" in annotations.get(key, "") for key in (keys.URI, keys.URIS, keys.SOURCE_URI))
    if not requests_images or download_volumes(pod["spec"], initializer):
        return False
    return all(source.is_image("modelcar", "native") for source in read_sources(annotations, labels, settings))


def _read_reinvoked(
    pod: Mapping[str, Any],
    namespace: str,
    settings: Settings,
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
) -> ModelRequest:
    warnings = list(unknown_keys(annotations, labels))
    initializer = find(pod["spec"]["initContainers"], INIT_CONTAINER_NAME) or {}
    if not is_injected(pod["spec"], initializer):
        warnings.append(
            f"the pod has an init container {INIT_CONTAINER_NAME} of its own, so no model is injected: give it another "
            "name"
        )
    elif is_digest_required(namespace, settings.storage_defaults):
        _check_reinvoked_digests(namespace, settings, annotations, labels)
    account = pod["spec"].get("serviceAccountName") or "default"
    sources = read_sources(annotations, labels, settings) if settings.storage_defaults.access is not None else ()
    read_only = read_read_only(annotations, Requester(namespace, account), sources, settings, warnings)
    return ModelRequest(
        namespace,
        annotations,
        read_only=read_only,
        init_targets=init_targets(pod, annotations),
        already_injected=True,
        literal_headers=any(is_literal_header(variable) for variable in initializer.get("env") or ()),
        service_account=account,
        warnings=tuple(warnings),
    )


def _check_reinvoked_digests(
    namespace: str, settings: Settings, annotations: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """Raise Forbidden when a model has no digest. KServe's controllers inject pods that have no annotation for it."""
    if any(key in annotations for key in (keys.URI, keys.URIS, keys.SOURCE_URI)):
        check_digests(read_sources(annotations, labels, settings), namespace, settings.storage_defaults)
    elif keys.SHA256 not in annotations:
        raise missing_digest(f"init container {INIT_CONTAINER_NAME}", namespace)


def is_literal_header(variable: Mapping[str, Any]) -> bool:
    """Whether an environment variable has the headers of an HTTP server as text, as KServe sets it."""
    return str(variable.get("name")).endswith(HEADERS_SUFFIX) and not variable.get("valueFrom")


def _read_request(
    pod: Mapping[str, Any],
    namespace: str,
    settings: Settings,
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
) -> ModelRequest:
    warnings = list(unknown_keys(annotations, labels))
    several = keys.URIS in annotations
    account = pod["spec"].get("serviceAccountName") or "default"
    sources = as_delivered(pod, read_sources(annotations, labels, settings))
    direct = _read_direct(annotations, several, settings)
    targets = read_targets(pod, sources, annotations, labels, direct=direct)
    warnings.extend(targets.warnings)
    _check_paths(sources, targets.names)
    check_digests(sources, namespace, settings.storage_defaults)
    read_only = read_read_only(annotations, Requester(namespace, account), sources, settings, warnings)
    return ModelRequest(
        namespace=namespace,
        annotations=annotations,
        sources=sources,
        several=several,
        targets=targets.names,
        init_targets=init_targets(pod, annotations),
        default_targets=targets.by_default,
        read_only=read_only,
        direct=direct,
        service_account=account,
        pull_secrets=read_pull_secrets(pod["spec"], sources),
        warnings=tuple(warnings),
    )


def _without_internal(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """The annotations without KServe's internal ones, which any user can set on a pod that KServe does not manage."""
    return {key: value for key, value in annotations.items() if not key.startswith(keys.INTERNAL)}


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
