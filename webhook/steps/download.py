"""The download flow: an init container that brings the model into a volume that the servers mount."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath

from webhook.annotations import MOUNT_PATH, PVC_MOUNT
from webhook.errors import Denied, shown
from webhook.naming import volume_name
from webhook.pod import INIT_CONTAINER_NAME, MODEL_PATH, JsonObject, PodDraft, find, mount, volume_source
from webhook.request import ModelRequest, Source
from webhook.settings.model import EmptyDir, EphemeralStorage, StorageInitializer
from webhook.shared_cache import shared_cache
from webhook.steps.claims import PVC_SOURCE_VOLUME, claim_mount, claim_volume
from webhook.steps.inputs import Inputs
from webhook.steps.oci_native import image_mount, image_volume
from webhook.uri import ClaimPath

PROVISION_VOLUME = "kserve-provision-location"
PVC_COPY_PATH = "/mnt/pvc"

_WRITABLE = frozenset({"emptyDir", "ephemeral", "persistentVolumeClaim"})


def add_storage_initializer(pod: PodDraft, inputs: Inputs) -> None:
    """Add the init container, the volume it writes to, and that volume's mounts in the targets."""
    request = inputs.request
    if not request.downloaded or shared_cache(request, inputs.settings):
        return
    place = download_directory(request)
    volume = _ensure_volume(pod, request, place, inputs.settings.storage_defaults.empty_dir)
    container = initializer(inputs)
    container["volumeMounts"] = [mount(volume, place, read_only=False), *_nested_mounts(pod, request, place)]
    pod.add_container(container)
    for target in request.targets:
        server = pod.edit_container(target)
        _undo_direct_mounts(pod, server, request)
        pod.ensure_mount(server, mount(volume, place, read_only=request.read_only))
    for source in request.downloaded:
        if source.claim:
            _mount_claim_to_copy(pod, request, source, source.claim)


def initializer(inputs: Inputs) -> JsonObject:
    """The init container that downloads, as the settings have it, without its mounts."""
    settings = inputs.settings
    return _container(
        settings.storage_initializer, settings.storage_defaults.ephemeral_storage, inputs.request.downloaded
    )


def download_directory(request: ModelRequest) -> str:
    """The directory that the volume is mounted at: the model's own, or the common parent of several."""
    common = posixpath.commonpath([source.mount_path for source in request.downloaded])
    if common == "/":
        raise Denied(
            "annotation storage.kserve.io/uris: the mount paths of the downloads have no common parent but /, "
            "which cannot be mounted over: put them below one directory, such as /mnt"
        )
    return common


def _ensure_volume(pod: PodDraft, request: ModelRequest, place: str, choice: EmptyDir) -> str:
    volume: JsonObject = {"name": PROVISION_VOLUME, "emptyDir": _empty_dir(choice)}
    if request.several or request.sources[0].is_image("fetch"):
        volume["name"] = volume_name(place, volume, pod.spec.get("volumes"))
    brought = find(pod.spec.get("volumes"), volume["name"])
    if brought is None:
        pod.ensure_volume(volume)
    elif not _is_writable(brought):
        raise Denied(
            f"the pod's volume {shown(volume['name'])} is {shown(volume_source(brought)[0])}, which the model cannot "
            "be downloaded to: make it an emptyDir, an ephemeral volume or a writable claim, or rename it"
        )
    return str(volume["name"])


def _is_writable(volume: JsonObject) -> bool:
    kind, _ = volume_source(volume)
    source = volume.get(kind)
    return kind in _WRITABLE and not (isinstance(source, dict) and source.get("readOnly"))


def _empty_dir(choice: EmptyDir) -> JsonObject:
    made: JsonObject = {}
    if choice.medium:
        made["medium"] = choice.medium
    if choice.size_limit is not None:
        made["sizeLimit"] = choice.size_limit
    return made


def _container(choice: StorageInitializer, ephemeral: EphemeralStorage, sources: tuple[Source, ...]) -> JsonObject:
    requests = {"cpu": choice.cpu_request, "memory": choice.memory_request}
    limits = {"cpu": choice.cpu_limit, "memory": choice.memory_limit}
    if ephemeral.request is not None:
        requests["ephemeral-storage"] = ephemeral.request
    if ephemeral.limit is not None:
        limits["ephemeral-storage"] = ephemeral.limit
    return {
        "name": INIT_CONTAINER_NAME,
        "image": choice.image,
        "args": [word for source in sources for word in (_location(source), source.mount_path)],
        "resources": {"requests": requests, "limits": limits},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _location(source: Source) -> str:
    """What the initializer is told to fetch: the URI, or the path of the claim that it copies from."""
    if source.claim is None:
        return source.uri
    return f"{PVC_COPY_PATH}/{source.claim.path}".rstrip("/")


def _undo_direct_mounts(pod: PodDraft, server: JsonObject, request: ModelRequest) -> None:
    """Remove the mounts of claims to copy that KServe, where its webhook ran first, made in place."""
    for source in request.downloaded:
        if source.claim:
            pod.drop_mount(server, mount(PVC_SOURCE_VOLUME, MODEL_PATH, read_only=False, sub_path=source.claim.path))


def _mount_claim_to_copy(pod: PodDraft, request: ModelRequest, source: Source, claim: ClaimPath) -> None:
    # The targets need the claim too: the initializer links into it rather than copying every byte.
    if PurePosixPath(source.mount_path).is_relative_to(PVC_COPY_PATH):
        raise Denied(
            f"annotation {MOUNT_PATH} {shown(source.mount_path)} lies in {PVC_COPY_PATH}, where the claim that the "
            f"model is copied from is mounted: choose another place, or annotation {PVC_MOUNT}: direct"
        )
    pod.ensure_volume({"name": PVC_SOURCE_VOLUME, "persistentVolumeClaim": {"claimName": claim.claim}})
    wanted = mount(PVC_SOURCE_VOLUME, PVC_COPY_PATH, read_only=request.read_only)
    pod.ensure_mount(pod.edit_container(INIT_CONTAINER_NAME, "initContainers"), wanted)
    for target in request.targets:
        pod.ensure_mount(pod.edit_container(target), wanted)


def _nested_mounts(pod: PodDraft, request: ModelRequest, place: str) -> list[JsonObject]:
    """Mounts of the claims and images below the download directory.

    The targets mount that directory read-only, where the runtime could not make another's mount point any more:
    the init container, which writes there, has it made first.
    """
    claims = [
        claim_mount(claim_volume(pod, request, source)["name"], source, read_only=True) for source in request.mounted
    ]
    images = [image_mount(image_volume(pod, source)["name"], source) for source in request.images]
    return [made for made in claims + images if PurePosixPath(made["mountPath"]).is_relative_to(place)]
