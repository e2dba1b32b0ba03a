"""The download: an init container that writes the model to a volume that the targets mount."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from webhook import quantity
from webhook.annotations import MOUNT_PATH, PVC_MOUNT, SHA256, URIS
from webhook.by_identity import cached_by_identity
from webhook.errors import Denied, quoted
from webhook.pod.claim_volume import ClaimUse
from webhook.pod.naming import PROVISION_VOLUME, PVC_SOURCE_VOLUME, volume_name
from webhook.pod.pod import (
    INIT_CONTAINER_NAME,
    MODEL_PATH,
    JsonObject,
    PodDraft,
    find,
    mount,
    normal_path,
    volume_source,
)
from webhook.request.injected import mounted_images
from webhook.request.model_request import ModelRequest, Source
from webhook.settings.kserve_keys import StorageInitializer
from webhook.settings.storage_defaults import EmptyDir, StorageDefaults
from webhook.steps.claims import claim_mount, claim_volume, only_claim_volume
from webhook.steps.inputs import Inputs
from webhook.steps.oci_native import image_mount, image_volume
from webhook.uri import ClaimPath

PVC_COPY_PATH = "/mnt/pvc"

# Far more than any real pod has.
_MAX_PARENT_MOUNTS = 100

_WRITABLE = frozenset({"emptyDir", "ephemeral", "persistentVolumeClaim"})


def add_storage_initializer(pod: PodDraft, inputs: Inputs) -> None:
    """Add the init container, the volume it writes to, and that volume's mounts in the targets."""
    request = inputs.request
    if not request.downloaded or inputs.cache:
        return
    directory = download_directory(request)
    emptied_for = SHA256 if any(source.sha256 for source in request.downloaded) else ""
    volume = ensure_download_volume(pod, request, directory, inputs.settings.storage_defaults, emptied_for=emptied_for)
    init_container = build_init_container(inputs)
    init_container["volumeMounts"] = [
        mount(volume, directory, read_only=False),
        *_nested_mounts(pod, request, volume, directory),
    ]
    pod.add_container(init_container)
    below = _below(request, directory)
    for target in request.targets:
        container = pod.edit_target(target)
        _check_visible(container, volume, below)
        _drop_direct_mounts(pod, container, request)
        pod.ensure_mount(container, mount(volume, directory, read_only=request.read_only))
    for source in request.downloaded:
        if source.claim:
            _mount_claim_to_copy(pod, request, source, source.claim)


def _below(request: ModelRequest, directory: str) -> set[str]:
    """The mount paths of the downloads inside the download directory, and all directories between."""
    paths = [source.mount_path for source in request.downloaded if source.mount_path != directory]
    return {*paths, *(parent for path in paths for parent in _parents(path, directory))}


def _check_visible(container: JsonObject, volume: str, below: set[str]) -> None:
    """Raise Denied when a container mounts another volume over a download. `below` is from `_below`."""
    if not below:
        return
    for existing in container.get("volumeMounts") or ():
        if existing["name"] != volume and normal_path(existing.get("mountPath")) in below:
            raise Denied(
                f"container {quoted(container['name'])} already mounts volume {quoted(existing['name'])} at "
                f"{quoted(existing['mountPath'])}, which hides a downloaded model: move that mount, or choose another "
                f"mount path with annotation {URIS}"
            )


def build_init_container(inputs: Inputs) -> JsonObject:
    """The init container that downloads, built from the settings, without its volume mounts."""
    settings = inputs.settings
    return _container(settings.storage_initializer, settings.storage_defaults, inputs.request.downloaded)


def download_directory(request: ModelRequest) -> str:
    """The volume's mount path: the mount path of the model, or the common parent of several.

    Raises Denied when the only common parent is the root directory.
    """
    first, *others = (source.mount_path for source in request.downloaded)
    # Nearly all pods have one, and `commonpath` takes apart even a single path.
    common = posixpath.commonpath([first, *others]) if others else first
    if common == "/":
        raise Denied(
            "annotation storage.kserve.io/uris: the mount paths of the downloads have no common parent "
            "directory other than /, which cannot be a mount path: put them inside one directory, such as /mnt"
        )
    return common


def ensure_download_volume(
    pod: PodDraft, request: ModelRequest, directory: str, config: StorageDefaults, *, emptied_for: str
) -> str:
    """The name of the volume that the init container writes to; one is added when the pod has none of this name.

    `emptied_for`: the annotation because of which the directory is emptied before the download; "": it is not.
    Raises Denied when the pod's own volume of this name cannot be written, or would be emptied and is a claim.
    """
    volume: JsonObject = {"name": PROVISION_VOLUME, **_source(config)}
    if request.several or request.sources[0].is_image("fetch"):
        volume["name"] = volume_name(directory, volume, pod.spec.get("volumes"))
    existing = find(pod.spec.get("volumes"), volume["name"])
    if existing and "persistentVolumeClaim" in existing and emptied_for:
        raise Denied(
            f"annotation {emptied_for} cannot be combined with the pod's claim as volume {quoted(volume['name'])}: its "
            "directory is emptied for the model, so use another volume"
        )
    if existing is None:
        pod.ensure_volume(volume)
    elif not _is_writable(existing):
        raise Denied(
            f"the model cannot be downloaded to the pod's volume {quoted(volume['name'])} of type "
            f"{quoted(volume_source(existing)[0])}: use an emptyDir, an ephemeral volume or a writable claim, "
            "or rename the volume"
        )
    return str(volume["name"])


def _is_writable(volume: JsonObject) -> bool:
    kind, _ = volume_source(volume)
    source = volume.get(kind)
    return kind in _WRITABLE and not (isinstance(source, dict) and source.get("readOnly"))


def _source(config: StorageDefaults) -> JsonObject:
    """The source of the volume: an emptyDir, or a claim that lives as long as the pod."""
    ephemeral = config.download_volume.ephemeral
    if ephemeral is None:
        return {"emptyDir": _empty_dir(config.empty_dir)}
    spec: JsonObject = {
        "accessModes": list(ephemeral.access_modes),
        "resources": {"requests": {"storage": ephemeral.size}},
    }
    if ephemeral.storage_class_name:
        spec["storageClassName"] = ephemeral.storage_class_name
    return {"ephemeral": {"volumeClaimTemplate": {"spec": spec}}}


def _empty_dir(config: EmptyDir) -> JsonObject:
    empty_dir: JsonObject = {}
    if config.medium:
        empty_dir["medium"] = config.medium
    if config.size_limit is not None:
        empty_dir["sizeLimit"] = config.size_limit
    return empty_dir


def _container(config: StorageInitializer, defaults: StorageDefaults, sources: tuple[Source, ...]) -> JsonObject:
    policy = defaults.image_pull_policy
    return {
        "name": INIT_CONTAINER_NAME,
        "image": config.image,
        **({"imagePullPolicy": policy} if policy else {}),
        "args": [arg for source in sources for arg in (_location(source), source.mount_path)],
        "resources": _resources(config, defaults),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


@cached_by_identity(maxsize=8)
def _resources(config: StorageInitializer, defaults: StorageDefaults) -> JsonObject:
    """The requests and limits. All pods with these settings share the object: a draft copies what it edits."""
    ephemeral = defaults.ephemeral_storage
    requests = {"cpu": config.cpu_request, "memory": config.memory_request}
    if ephemeral.request is not None:
        requests["ephemeral-storage"] = ephemeral.request
    cpu_limit = None if defaults.cpu_limit == "none" else config.cpu_limit
    limits = {"cpu": cpu_limit, "memory": config.memory_limit, "ephemeral-storage": ephemeral.limit}
    return {"requests": requests, "limits": {name: limit for name, limit in limits.items() if _is_set(limit)}}


def _is_set(limit: str | None) -> bool:
    return limit is not None and quantity.parse(limit) > 0


def _location(source: Source) -> str:
    """The source argument of the init container: the URI, or the path in the mounted claim to copy from."""
    if source.claim is None:
        return source.uri
    return f"{PVC_COPY_PATH}/{source.claim.path}".rstrip("/")


def _drop_direct_mounts(pod: PodDraft, container: JsonObject, request: ModelRequest) -> None:
    """Remove the direct mounts that KServe's webhook added for claims that are copied here."""
    for source in request.downloaded:
        if source.claim:
            pod.drop_mount(container, mount(PVC_SOURCE_VOLUME, MODEL_PATH, read_only=False, sub_path=source.claim.path))


def _mount_claim_to_copy(pod: PodDraft, request: ModelRequest, source: Source, claim: ClaimPath) -> None:
    # The targets need the claim too: the init container creates symbolic links into it instead of copying all files.
    if PurePosixPath(source.mount_path).is_relative_to(PVC_COPY_PATH):
        raise Denied(
            f"annotation {MOUNT_PATH} {quoted(source.mount_path)} is inside {PVC_COPY_PATH}, where the claim that "
            f'contains the model is mounted: choose another mount path, or set annotation {PVC_MOUNT} to "direct"'
        )
    use = ClaimUse(claim.claim, not request.read_only, request.targets, PVC_COPY_PATH)
    wanted = mount(only_claim_volume(pod, request, use), PVC_COPY_PATH, read_only=request.read_only)
    pod.ensure_mount(pod.edit_container(INIT_CONTAINER_NAME, "initContainers"), wanted)
    for target in request.targets:
        pod.ensure_mount(pod.edit_target(target), wanted)


def _nested_mounts(pod: PodDraft, request: ModelRequest, volume: str, directory: str) -> list[JsonObject]:
    """Mounts of the claims and images inside the download directory, for the init container, and of their parents.

    The container runtime creates missing mount points, but cannot do so in the targets, which mount the directory
    read-only. The init container mounts it read-write, so its mounts create these mount points first.
    """
    if not request.mounted and not request.images:
        return []
    claims = [claim_mount(claim_volume(pod, request, source), source, read_only=True) for source in request.mounted]
    mounted = mounted_images(pod.spec) if request.images else {}
    images = [image_mount(image_volume(pod, source, mounted)["name"], source) for source in request.images]
    nested = [each for each in claims + images if each["mountPath"].startswith(f"{directory}/")]
    return _parent_mounts(nested, volume, directory) + nested


def _parent_mounts(nested: list[JsonObject], volume: str, directory: str) -> list[JsonObject]:
    """Mounts of the volume at each directory between its mount path and a nested mount, outer directories first.

    The container runtime would create these directories as root, and the initializer, another user, could not write
    there. The kubelet creates a missing subPath with the mode of the volume (kubelet: SafeMakeDir). Before Kubernetes
    1.35 it does so only for the last directory of a subPath, so each one gets a mount.
    """
    parents = sorted({parent for each in nested for parent in _parents(each["mountPath"], directory)})
    if len(parents) > _MAX_PARENT_MOUNTS:
        raise Denied(
            f"annotation {URIS}: the claims and images inside the download directory {quoted(directory)} are in "
            f"{len(parents)} different directories: the maximum is {_MAX_PARENT_MOUNTS}, so use fewer, or mount paths "
            "outside of it"
        )
    start = len(directory) + 1
    return [mount(volume, parent, read_only=False, sub_path=parent[start:]) for parent in parents]


def _parents(path: str, directory: str) -> Iterator[str]:
    end = path.find("/", len(directory) + 1)
    while end != -1:
        yield path[:end]
        end = path.find("/", end + 1)
