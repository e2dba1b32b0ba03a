"""The storage container for a pod's URI: merged into the init container.

It is a ClusterStorageContainer (serving.kserve.io/v1alpha1, an optional resource of KServe), or one of the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook import quantity
from webhook.errors import Denied, quoted
from webhook.pod.claim_volume import ClaimUse, serving_volume
from webhook.pod.container_merge import merge_container
from webhook.pod.naming import volume_name
from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft, find, normal_path, volume_source
from webhook.request.model_request import ModelRequest
from webhook.steps.inputs import Inputs
from webhook.storage_container import INIT_CONTAINER, StorageContainer, unusable


def apply_storage_container(pod: PodDraft, inputs: Inputs) -> None:
    """Merge the storage container for the pod's URI into the init container, and add its volumes.

    Raises Denied when the storage container cannot be used or is invalid.
    """
    selected = select_storage_container(inputs)
    container = pod.edit_init_container()
    if selected is None or container is None:
        return
    _check_usable(selected, inputs.request)
    merged = merge_container(container, _with_volumes(pod, container, selected))
    # KServe does not reset the name, and injects a second init container if it differs.
    merged["name"] = INIT_CONTAINER_NAME
    merged["resources"] = _within_limits(merged.get("resources") or {}, selected)
    _warn_about_missing_volumes(pod, merged, selected)
    container.clear()
    container.update(merged)


def select_storage_container(inputs: Inputs) -> StorageContainer | None:
    """The storage container that the pod names or that supports its URI, otherwise None.

    A ClusterStorageContainer takes precedence over those of the settings. The URI of a storage spec is matched as it
    is written, as in KServe, and then as it is resolved. Raises Denied when the pod names one that cannot be used.
    """
    request, given, own = inputs.request, inputs.facts.storage_containers, inputs.settings.storage_containers
    if not (request.downloaded and (given or own or keys.STORAGE_CONTAINER_NAME in request.annotations)):
        return None
    source = request.downloaded[0]
    uris = (source.written, source.uri) if source.written else (source.uri,)
    if name := request.annotations.get(keys.STORAGE_CONTAINER_NAME):
        return _select_by_name(name, uris, (*given, *own), request)
    return _first(given, uris, request) or _first(own, uris, request)


def _first(
    containers: tuple[StorageContainer, ...], uris: tuple[str, ...], request: ModelRequest
) -> StorageContainer | None:
    matches = (each for uri in uris for each in containers if _is_eligible(each, request) and each.supports(uri))
    return next(matches, None)


def _select_by_name(
    name: str, uris: tuple[str, ...], containers: tuple[StorageContainer, ...], request: ModelRequest
) -> StorageContainer:
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        problem = "does not exist or cannot be read"
    elif found.disabled:
        problem = "is disabled"
    elif found.workload_type != INIT_CONTAINER:
        problem = f"has workloadType {quoted(found.workload_type)}, not {INIT_CONTAINER}"
    elif not found.is_for(request.namespace):
        problem = f"is not for namespace {quoted(request.namespace)}"
    elif not any(map(found.supports, uris)):
        problem = f"does not support the URI {quoted(uris[-1])}"
    else:
        return found
    title = (found or StorageContainer(name)).title
    raise Denied(f"annotation {keys.STORAGE_CONTAINER_NAME}: {title} {problem}: name another, or remove the annotation")


def _is_eligible(container: StorageContainer, request: ModelRequest) -> bool:
    is_enabled = not container.disabled and container.workload_type == INIT_CONTAINER
    return is_enabled and container.is_for(request.namespace)


def _check_usable(selected: StorageContainer, request: ModelRequest) -> None:
    if selected.problem:
        raise unusable(selected, selected.problem)
    if len(request.downloaded) > 1 and not selected.several:
        raise Denied(
            f"{selected.title}, selected for the URI {quoted(request.downloaded[0].uri)}, does not download several "
            f"models (supportsMultiModelDownload): set one URI in {keys.URIS}, or ask the administrator"
        )


def _with_volumes(pod: PodDraft, container: JsonObject, selected: StorageContainer) -> Mapping[str, Any]:
    """Add the volumes that the storage container brings. Returns its container, which mounts them by their names.

    Raises Denied when one of the mount paths is taken.
    """
    if not selected.volumes:
        return selected.container
    taken = {normal_path(each.get("mountPath")) for each in container.get("volumeMounts") or ()}
    mounts = selected.container["volumeMounts"]
    if conflict := next((each for each in mounts if normal_path(each["mountPath"]) in taken), None):
        raise Denied(
            f"{selected.title} mounts volume {quoted(conflict['name'])} at {quoted(conflict['mountPath'])}, where the "
            f"download needs another volume: choose another mount path with annotation {keys.MOUNT_PATH}"
        )
    names = {volume["name"]: _add_volume(pod, volume) for volume in selected.volumes}
    return {**selected.container, "volumeMounts": [{**each, "name": names[each["name"]]} for each in mounts]}


def _add_volume(pod: PodDraft, volume: Mapping[str, Any]) -> str:
    """The name of the pod's volume that serves as this one. One is added, if necessary under another name."""
    name, present = volume["name"], pod.spec.get("volumes")
    source = volume.get("persistentVolumeClaim")
    if source and (own := serving_volume(pod, ClaimUse(source["claimName"], not source.get("readOnly"), (), ""))):
        return own
    if (
        (existing := find(present, name))
        and "emptyDir" not in volume
        and volume_source(existing) == volume_source(volume)
    ):
        return str(name)
    free = volume_name(f"/{name}", {}, present)
    pod.ensure_volume({**volume, "name": free})
    return free


def _within_limits(resources: JsonObject, selected: StorageContainer) -> JsonObject:
    """The merged resources, with every request within its limit. The storage container takes precedence."""
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
            raise unusable(selected, f"its {name} request {requests[name]} is more than its limit {limits[name]}")
    return {**resources, "requests": requests, "limits": limits}


def _amount(text: str, selected: StorageContainer) -> Any:
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise unusable(selected, f"spec.container.resources: {quoted(text)} is {error}") from None


def _warn_about_missing_volumes(pod: PodDraft, container: JsonObject, selected: StorageContainer) -> None:
    for volume_mount in container.get("volumeMounts") or ():
        if find(pod.spec.get("volumes"), volume_mount.get("name")) is None:
            pod.warnings.append(
                f"{selected.title} mounts volume {quoted(volume_mount.get('name'))}, which the pod does not have"
            )
