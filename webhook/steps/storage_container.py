"""ClusterStorageContainers: custom init containers that the administrator configures for some URIs.

serving.kserve.io/v1alpha1 ClusterStorageContainer is an optional resource of KServe.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from webhook import annotations as keys
from webhook import quantity
from webhook.cluster.facts import StorageContainer
from webhook.errors import Denied, quoted
from webhook.pod.container_merge import merge_container
from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft, find
from webhook.request.model_request import ModelRequest
from webhook.steps.inputs import Inputs

INIT_CONTAINER = "initContainer"


def apply_storage_container(pod: PodDraft, inputs: Inputs) -> None:
    """Merge the ClusterStorageContainer for the pod's URI into the init container.

    Raises Denied when the ClusterStorageContainer cannot be used or is invalid.
    """
    selected = select_storage_container(inputs)
    container = pod.edit_init_container()
    if selected is None or container is None:
        return
    _check_usable(selected, inputs.request)
    merged = merge_container(container, selected.container)
    # KServe does not reset the name, and injects a second init container if it differs.
    merged["name"] = INIT_CONTAINER_NAME
    merged["resources"] = _within_limits(merged.get("resources") or {}, selected)
    _warn_about_missing_volumes(pod, merged, selected)
    container.clear()
    container.update(merged)


def select_storage_container(inputs: Inputs) -> StorageContainer | None:
    """The ClusterStorageContainer that the pod names or that supports its URI, otherwise None.

    The URI of a storage spec is matched as it is written, as in KServe, and then as it is resolved.
    Raises Denied when the pod names a ClusterStorageContainer that cannot be used.
    """
    return _select(inputs.request, inputs.facts.storage_containers) if inputs.request.downloaded else None


def _select(request: ModelRequest, containers: tuple[StorageContainer, ...]) -> StorageContainer | None:
    source = request.downloaded[0]
    uris = (source.written, source.uri) if source.written else (source.uri,)
    if name := request.annotations.get(keys.STORAGE_CONTAINER_NAME):
        return _select_by_name(name, uris, containers)
    matches = (each for uri in uris for each in containers if _is_eligible(each) and supports(each, uri))
    return next(matches, None)


def _select_by_name(name: str, uris: tuple[str, ...], containers: tuple[StorageContainer, ...]) -> StorageContainer:
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        problem = "does not exist or cannot be read"
    elif found.disabled:
        problem = "is disabled"
    elif found.workload_type != INIT_CONTAINER:
        problem = f"has workloadType {quoted(found.workload_type)}, not {INIT_CONTAINER}"
    elif not any(supports(found, uri) for uri in uris):
        problem = f"does not support the URI {quoted(uris[-1])}"
    else:
        return found
    raise Denied(
        f"annotation {keys.STORAGE_CONTAINER_NAME}: ClusterStorageContainer {quoted(name)} {problem}: "
        "name another, or remove the annotation"
    )


def _is_eligible(container: StorageContainer) -> bool:
    return not container.disabled and container.workload_type == INIT_CONTAINER


def supports(container: StorageContainer, uri: str) -> bool:
    """Whether the URI has a format of the ClusterStorageContainer. Raises Denied when a format is invalid."""
    for supported in container.formats:
        if supported.prefix:
            if uri.startswith(supported.prefix):
                return True
        elif supported.regex and _pattern(supported.regex, container.name).search(uri):
            return True
    return False


@lru_cache(maxsize=256)
def _pattern(regex: str, name: str) -> Any:
    """The compiled pattern. RE2 has the syntax of Go regular expressions and matches in linear time."""
    # Imported late, because most commands do not need it.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
    raise _invalid(
        name, f"supportedUriFormats has the regex {quoted(regex)}, which is not a valid RE2 pattern: {reason}"
    )


def _check_usable(selected: StorageContainer, request: ModelRequest) -> None:
    if selected.problem:
        raise _invalid(selected.name, selected.problem)
    if len(request.downloaded) > 1 and not selected.several:
        raise Denied(
            f"ClusterStorageContainer {quoted(selected.name)}, selected for the URI "
            f"{quoted(request.downloaded[0].uri)}, does not download several models (supportsMultiModelDownload): "
            f"set one URI in {keys.URIS}, or ask the administrator"
        )


def _within_limits(resources: JsonObject, selected: StorageContainer) -> JsonObject:
    """The merged resources, with every request within its limit. The ClusterStorageContainer takes precedence."""
    own = selected.container.get("resources") or {}
    requests, limits = dict(resources.get("requests") or {}), dict(resources.get("limits") or {})
    for name in requests.keys() & limits.keys():
        if _amount(requests[name], selected) <= _amount(limits[name], selected):
            continue
        if name not in (own.get("limits") or {}):
            limits[name] = requests[name]
        elif name not in (own.get("requests") or {}):
            requests[name] = limits[name]
        else:
            raise _invalid(selected.name, f"its {name} request {requests[name]} is more than its limit {limits[name]}")
    return {**resources, "requests": requests, "limits": limits}


def _amount(text: str, selected: StorageContainer) -> Any:
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise _invalid(selected.name, f"spec.container.resources: {quoted(text)} is {error}") from None


def _warn_about_missing_volumes(pod: PodDraft, container: JsonObject, selected: StorageContainer) -> None:
    for volume_mount in container.get("volumeMounts") or ():
        if find(pod.spec.get("volumes"), volume_mount.get("name")) is None:
            pod.warnings.append(
                f"ClusterStorageContainer {quoted(selected.name)} mounts volume {quoted(volume_mount.get('name'))}, "
                "which the pod does not have"
            )


def _invalid(name: str, problem: str) -> Denied:
    return Denied(f"ClusterStorageContainer {quoted(name)} cannot be used, ask the administrator to fix it: {problem}")
