"""Claims that are mounted directly, without an init container or a copy."""

from __future__ import annotations

from webhook.pod.naming import volume_name
from webhook.pod.pod import MODEL_PATH, JsonObject, PodDraft, mount
from webhook.request.model_request import ModelRequest, Source
from webhook.steps.inputs import Inputs

PVC_SOURCE_VOLUME = "kserve-pvc-source"


def mount_claims(pod: PodDraft, inputs: Inputs) -> None:
    """Mount each `pvc://` source at its path in every target, read-only unless requested otherwise."""
    request = inputs.request
    for source in request.mounted:
        volume = claim_volume(pod, request, source)
        pod.ensure_volume(volume)
        wanted = claim_mount(volume["name"], source, read_only=request.read_only)
        # If KServe's webhook ran first, it mounted the claim at this path: move that mount.
        kserve_path = source.mount_path if request.several else MODEL_PATH
        for target in request.targets:
            pod.ensure_mount(pod.edit_container(target), wanted, kserve_path)


def claim_volume(pod: PodDraft, request: ModelRequest, source: Source) -> JsonObject:
    """The volume of a source's claim. Its name is KServe's, or for several sources is derived from the mount path."""
    assert source.claim is not None
    volume = {"name": PVC_SOURCE_VOLUME, "persistentVolumeClaim": {"claimName": source.claim.claim}}
    if request.several:
        volume["name"] = volume_name(source.mount_path, volume, pod.spec.get("volumes"))
    return volume


def claim_mount(volume: str, source: Source, *, read_only: bool) -> JsonObject:
    """The volume mount of a source: a directory at the mount path, or a single file inside it.

    Servers expect a directory at the mount path, so a file is never mounted there.
    """
    assert source.claim is not None
    path = f"{source.mount_path}/{source.claim.file_name}" if source.is_file else source.mount_path
    return mount(volume, path, read_only=read_only, sub_path=source.claim.path)
