"""What an earlier call injected into a pod. The API server calls again after other webhooks changed the pod.

Recognized by names and mount paths. Others may change images, user ids, the order of containers, and add defaults.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.pod.naming import PROVISION_VOLUME, PVC_SOURCE_VOLUME, derived_names, is_derived
from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, find, normal_path
from webhook.request.model_request import MAX_SOURCES, Source, delivery
from webhook.request.oci import MODELCAR, Image, has_modelcar_name, is_modelcar, link_starts, modelcar_script, numbered

# The API server mounts a volume here in every container (Kubernetes: ServiceAccount admission).
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105

_MAX_MODELCARS = 10

MODELS_SUB_PATH = "models"
"""The directory of an image that contains the model."""


def targets_with_model(pod: Mapping[str, Any], sources: tuple[Source, ...], *, direct: bool) -> tuple[str, ...]:
    """The names of the containers that mount every source already, in the order of the pod.

    Empty for a first call, and when a source is downloaded: then an earlier call is recognized by its init container.
    """
    spec = pod["spec"]
    present = spec.get("volumes") or ()
    derived = {name for source in sources for name in derived_names(source.mount_path)} if present else set()
    volumes = {volume["name"]: volume for volume in present if _may_be_ours(volume["name"], derived)}
    if not volumes:
        return ()
    deliveries = [delivery(source, direct=direct) for source in sources]
    modelcars = tuple(source for source, how in zip(sources, deliveries, strict=True) if how == "modelcars")
    if "downloaded" in deliveries or not _has_modelcars(spec, modelcars):
        return ()
    names = {numbered(MODELCAR, number) for number in range(len(modelcars))}
    return tuple(
        container["name"]
        for container in spec.get("containers") or ()
        if container["name"] not in names and _mounts_all(container, sources, volumes)
    )


def _may_be_ours(name: str, derived: set[str]) -> bool:
    """Whether this webhook or KServe's gives a volume this name. The pod's author can use other names for the same."""
    return name in derived or name == PVC_SOURCE_VOLUME or name.startswith(PROVISION_VOLUME)


def as_delivered(pod: Mapping[str, Any], sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The sources, images with the mode in which an earlier call delivered them: the settings may have changed."""
    if not any(source.uri.startswith("oci://") for source in sources):
        return sources
    images = mounted_images(pod["spec"])
    scripts = [script for container in _modelcars(pod["spec"]) if (script := modelcar_script(container))]
    del scripts[_MAX_MODELCARS:]
    return tuple(_as_delivered(source, images, scripts) for source in sources)


def _as_delivered(source: Source, images: Mapping[str, JsonObject], scripts: list[str]) -> Source:
    if source.has_mode or not source.uri.startswith("oci://"):
        return source
    reference = source.uri.removeprefix("oci://")
    if source.mount_path in images:
        return source._replace(image=Image(reference, "native"))
    starts = link_starts(source.mount_path) if scripts else ()
    if any(script.startswith(starts) for script in scripts):
        return source._replace(image=Image(reference, "modelcar"))
    return source


def _modelcars(spec: JsonObject) -> Iterator[JsonObject]:
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            if has_modelcar_name(container):
                yield container


def download_volumes(spec: JsonObject, initializer: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Names and mount paths of the volumes that an injected init container downloads to. Empty for any other.

    The arguments of an injected init container are pairs of URI and path, and another container mounts the volume at
    the same path.
    """
    args = initializer.get("args")
    paths = [f"{normal_path(path)}/" for path in args[1 : 2 * MAX_SOURCES : 2]] if isinstance(args, list) else []
    written = {
        (mount["name"], normal_path(mount.get("mountPath")))
        for mount in initializer.get("volumeMounts") or ()
        if not mount.get("readOnly") and _contains_any(normal_path(mount.get("mountPath")), paths)
    }
    mounted = {
        (mount["name"], normal_path(mount.get("mountPath")))
        for container in (_other_containers(spec) if written else ())
        for mount in container.get("volumeMounts") or ()
    }
    return written & mounted


def is_injected(spec: JsonObject, initializer: Mapping[str, Any]) -> bool:
    """Whether an init container `storage-initializer` was injected.

    It was if it shares a volume with another container, or its arguments begin with a URI and a path.
    """
    args = initializer.get("args")
    if isinstance(args, list) and len(args) > 1 and "://" in str(args[0]) and str(args[1]).startswith("/"):
        return True
    names = {mount["name"] for mount in initializer.get("volumeMounts") or ()}
    return any(
        mount["name"] in names and mount.get("mountPath") != _TOKEN_PATH
        for container in (_other_containers(spec) if names else ())
        for mount in container.get("volumeMounts") or ()
    )


def _other_containers(spec: JsonObject) -> Iterator[JsonObject]:
    """All containers and init containers except the storage initializer."""
    yield from spec.get("containers") or ()
    yield from (each for each in spec.get("initContainers") or () if each["name"] != INIT_CONTAINER_NAME)


def _contains_any(directory: str, paths: list[str]) -> bool:
    prefix = f"{directory}/"
    return any(path.startswith(prefix) for path in paths)


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
    # The path of the source is normal already.
    is_path = normal_path(mount.get("subPath") or "") == f"/{source.claim.path}"
    return bool(is_path and claim.get("claimName") == source.claim.claim)


def _is_image_mount(mount: JsonObject | None, volumes: Mapping[str, JsonObject]) -> bool:
    is_image = isinstance(_volume(mount, volumes).get("image"), dict)
    return is_image and mount is not None and mount.get("subPath") == MODELS_SUB_PATH


def mounted_images(spec: JsonObject) -> dict[str, JsonObject]:
    """The image volumes that an earlier call mounted, by mount path."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or () if "image" in volume}
    mounted = (
        (normal_path(mount.get("mountPath")), mount)
        for container in (spec.get("containers") or () if volumes else ())
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in volumes and _is_image_mount(mount, volumes)
    )
    return {path: volumes[mount["name"]] for path, mount in mounted if is_derived(mount["name"], path)}
