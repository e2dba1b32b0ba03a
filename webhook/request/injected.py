"""What an earlier call injected into a pod. The API server calls again after other webhooks changed the pod.

Recognized by names and mount paths. Others may change images, user ids, the order of containers, and add defaults.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.pod.pod import JsonObject, find, normal_path
from webhook.request.model_request import Source, delivery
from webhook.request.oci import MODELCAR, Image, is_modelcar, numbered

MODELS_SUB_PATH = "models"
"""The directory of an image that contains the model."""


def targets_with_model(pod: Mapping[str, Any], sources: tuple[Source, ...], *, direct: bool) -> tuple[str, ...]:
    """The names of the containers that mount every source already, in the order of the pod.

    Empty for a first call, and when a source is downloaded: then an earlier call is recognized by its init container.
    """
    spec = pod["spec"]
    deliveries = [delivery(source, direct=direct) for source in sources]
    modelcars = tuple(source for source, how in zip(sources, deliveries, strict=True) if how == "modelcars")
    if "downloaded" in deliveries or not _has_modelcars(spec, modelcars):
        return ()
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    names = {numbered(MODELCAR, number) for number in range(len(modelcars))}
    return tuple(
        container["name"]
        for container in spec.get("containers") or ()
        if container["name"] not in names and _mounts_all(container, sources, volumes)
    )


def as_delivered(pod: Mapping[str, Any], sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The sources, images with the mode in which an earlier call delivered them: the settings may have changed."""
    return tuple(_as_delivered(pod["spec"], source) for source in sources)


def _as_delivered(spec: JsonObject, source: Source) -> Source:
    if not source.uri.startswith("oci://"):
        return source
    reference = source.uri.removeprefix("oci://")
    if mounted_image(spec, source) is not None:
        return source._replace(image=Image(reference, "native"))
    if any(is_modelcar(container, source.mount_path) for container in _modelcars(spec)):
        return source._replace(image=Image(reference, "modelcar"))
    return source


def _modelcars(spec: JsonObject) -> Iterator[JsonObject]:
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            if container["name"].partition("-")[0] == MODELCAR:
                yield container


def download_volumes(spec: JsonObject, initializer: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Names and mount paths of the volumes that an injected init container downloads to. Empty for any other.

    The arguments of an injected init container are pairs of URI and path, and another container mounts the volume at
    the same path.
    """
    args = initializer.get("args")
    paths = [normal_path(path) for path in args[1::2]] if isinstance(args, list) else []
    written = {
        (mount["name"], normal_path(mount.get("mountPath")))
        for mount in initializer.get("volumeMounts") or ()
        if not mount.get("readOnly") and _contains_any(normal_path(mount.get("mountPath")), paths)
    }
    mounted = {
        (mount["name"], normal_path(mount.get("mountPath")))
        for container in (spec.get("containers") or () if written else ())
        for mount in container.get("volumeMounts") or ()
    }
    return written & mounted


def _contains_any(directory: str, paths: list[str]) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for path in paths)


def _has_modelcars(spec: JsonObject, modelcars: tuple[Source, ...]) -> bool:
    lists = (spec.get("containers"), spec.get("initContainers"))
    return all(
        any(is_modelcar(find(containers, numbered(MODELCAR, number)) or {}, source.mount_path) for containers in lists)
        for number, source in enumerate(modelcars)
    )


def _mounts_all(container: JsonObject, sources: tuple[Source, ...], volumes: Mapping[str, JsonObject]) -> bool:
    mounts = {normal_path(mount.get("mountPath")): mount for mount in container.get("volumeMounts") or ()}
    return all(_is_mounted(source, mounts, volumes) for source in sources)


def _is_mounted(source: Source, mounts: Mapping[str, JsonObject], volumes: Mapping[str, JsonObject]) -> bool:
    if source.claim:
        # The setting of single files may have changed since the earlier call.
        paths = (source.arrival_path, source.mount_path)
        return any(_is_claim_mount(mounts.get(path), source, volumes) for path in paths)
    if source.is_image("native"):
        return _is_image_mount(mounts.get(source.mount_path), volumes)
    return "emptyDir" in _volume(mounts.get(posixpath.dirname(source.mount_path)), volumes)


def _volume(mount: JsonObject | None, volumes: Mapping[str, JsonObject]) -> JsonObject:
    return volumes.get(mount["name"], {}) if mount else {}


def _is_claim_mount(mount: JsonObject | None, source: Source, volumes: Mapping[str, JsonObject]) -> bool:
    claim = _volume(mount, volumes).get("persistentVolumeClaim")
    if source.claim is None or not mount or not isinstance(claim, dict):
        return False
    sub_path = normal_path(mount.get("subPath") or "")
    return claim.get("claimName") == source.claim.claim and sub_path == normal_path(source.claim.path)


def _is_image_mount(mount: JsonObject | None, volumes: Mapping[str, JsonObject]) -> bool:
    is_image = isinstance(_volume(mount, volumes).get("image"), dict)
    return is_image and mount is not None and mount.get("subPath") == MODELS_SUB_PATH


def mounted_image(spec: JsonObject, source: Source) -> JsonObject | None:
    """The image volume that an earlier call mounted at the source's path; None when there is none."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    for container in spec.get("containers") or ():
        for mount in container.get("volumeMounts") or ():
            if normal_path(mount.get("mountPath")) == source.mount_path and _is_image_mount(mount, volumes):
                found: JsonObject = volumes[mount["name"]]
                return found
    return None
