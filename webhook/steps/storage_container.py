"""ClusterStorageContainers: the administrator's own initializer for some URIs.

KServe: serving.kserve.io/v1alpha1 ClusterStorageContainer, an optional resource.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from webhook import annotations as keys
from webhook import quantity
from webhook.container_merge import merge_container
from webhook.errors import Denied, shown
from webhook.facts import StorageContainer
from webhook.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft, find
from webhook.request import ModelRequest
from webhook.steps.inputs import Inputs

INIT_CONTAINER = "initContainer"


def apply_storage_container(pod: PodDraft, inputs: Inputs) -> None:
    """Merge the ClusterStorageContainer for the pod's URI over the init container.

    Raises Denied when the one that the pod names cannot be used, or the one that matches is wrong.
    """
    chosen = chosen_container(inputs)
    container = pod.edit_init_container()
    if chosen is None or container is None:
        return
    _check(chosen, inputs.request)
    merged = merge_container(container, chosen.container)
    # KServe lets it be renamed, and then injects a second one.
    merged["name"] = INIT_CONTAINER_NAME
    merged["resources"] = _fitting(merged.get("resources") or {}, chosen)
    _warn_of_volumes(pod, merged, chosen)
    container.clear()
    container.update(merged)


def chosen_container(inputs: Inputs) -> StorageContainer | None:
    """The ClusterStorageContainer that the pod names or its URI leads to; None when there is none.

    Raises Denied when the one that the pod names cannot be used.
    """
    return _choose(inputs.request, inputs.facts.storage_containers) if inputs.request.downloaded else None


def _choose(request: ModelRequest, containers: tuple[StorageContainer, ...]) -> StorageContainer | None:
    uri = request.downloaded[0].uri
    if name := request.annotations.get(keys.STORAGE_CONTAINER_NAME):
        return _named(name, uri, containers)
    return next((each for each in containers if _is_eligible(each) and _supports(each, uri)), None)


def _named(name: str, uri: str, containers: tuple[StorageContainer, ...]) -> StorageContainer:
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        problem = "does not exist, or may not be read"
    elif found.disabled:
        problem = "is disabled"
    elif found.workload_type != INIT_CONTAINER:
        problem = f"has workloadType {shown(found.workload_type)}, not {INIT_CONTAINER}"
    elif not _supports(found, uri):
        problem = f"does not support the URI {shown(uri)}"
    else:
        return found
    raise Denied(
        f"annotation {keys.STORAGE_CONTAINER_NAME}: ClusterStorageContainer {shown(name)} {problem}: "
        "name another, or remove the annotation"
    )


def _is_eligible(container: StorageContainer) -> bool:
    return not container.disabled and container.workload_type == INIT_CONTAINER


def _supports(container: StorageContainer, uri: str) -> bool:
    for supported in container.formats:
        if supported.prefix:
            if uri.startswith(supported.prefix):
                return True
        elif supported.regex and _pattern(supported.regex, container.name).search(uri):
            return True
    return False


@lru_cache(maxsize=256)
def _pattern(regex: str, name: str) -> Any:
    """The compiled regex. RE2, as in Go: any pattern matches any URI in linear time."""
    # Loaded when it is needed: the command line seldom needs it.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
    raise _wrong(name, f"supportedUriFormats has the regex {shown(regex)}, which is no RE2 pattern: {reason}")


def _check(chosen: StorageContainer, request: ModelRequest) -> None:
    if chosen.problem:
        raise _wrong(chosen.name, chosen.problem)
    if len(request.downloaded) > 1 and not chosen.several:
        raise Denied(
            f"ClusterStorageContainer {shown(chosen.name)}, which the URI {shown(request.downloaded[0].uri)} leads to, "
            f"does not download several models (supportsMultiModelDownload): give one URI in {keys.URIS}, or ask "
            "the administrator"
        )


def _fitting(resources: JsonObject, chosen: StorageContainer) -> JsonObject:
    """The merged resources with every request within its limit: what the ClusterStorageContainer says wins."""
    theirs = chosen.container.get("resources") or {}
    requests, limits = dict(resources.get("requests") or {}), dict(resources.get("limits") or {})
    for name in requests.keys() & limits.keys():
        if _amount(requests[name], chosen) <= _amount(limits[name], chosen):
            continue
        if name not in (theirs.get("limits") or {}):
            limits[name] = requests[name]
        elif name not in (theirs.get("requests") or {}):
            requests[name] = limits[name]
        else:
            raise _wrong(chosen.name, f"its {name} request {requests[name]} is more than its limit {limits[name]}")
    return {**resources, "requests": requests, "limits": limits}


def _amount(text: str, chosen: StorageContainer) -> Any:
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise _wrong(chosen.name, f"spec.container.resources: {shown(text)} is {error}") from None


def _warn_of_volumes(pod: PodDraft, container: JsonObject, chosen: StorageContainer) -> None:
    for mounted in container.get("volumeMounts") or ():
        if find(pod.spec.get("volumes"), mounted.get("name")) is None:
            pod.warnings.append(
                f"ClusterStorageContainer {shown(chosen.name)} mounts volume {shown(mounted.get('name'))}, "
                "which the pod does not have"
            )


def _wrong(name: str, problem: str) -> Denied:
    return Denied(f"ClusterStorageContainer {shown(name)} cannot be used, ask the administrator to mend it: {problem}")
