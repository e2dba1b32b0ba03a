"""Claims that are mounted directly, without an init container or a copy."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.pod.claim_volume import ClaimUse, ensure_claim_volume, new_volume, serving_volume
from webhook.pod.naming import PVC_SOURCE_VOLUME, derived_names, volume_name
from webhook.pod.pod import MODEL_PATH, JsonObject, PodDraft, find, mount
from webhook.request.model_request import ModelRequest, Source
from webhook.steps.inputs import Inputs


def mount_claims(pod: PodDraft, inputs: Inputs) -> None:
    """Mount each `pvc://` source at its path in every target, read-only unless requested otherwise."""
    request = inputs.request
    used: set[str] = set()
    for source in request.mounted:
        volume = claim_volume(pod, request, source)
        wanted = claim_mount(volume, source, read_only=request.read_only)
        moved_from = _possible_paths(source)
        if volume == PVC_SOURCE_VOLUME:
            # KServe's webhook mounts the claim at this path, whatever the mount path.
            moved_from += (MODEL_PATH,)
        for target in request.targets:
            pod.ensure_mount(pod.edit_target(target), wanted, *moved_from)
        used.add(volume)
    if used and request.default_targets and not _is_recognizable(used, request):
        _record_targets(pod, request)


def _is_recognizable(volumes: set[str], request: ModelRequest) -> bool:
    """Whether a second call can see by the volume's names that this webhook mounted them."""
    derived = {name for source in request.sources for name in derived_names(source.mount_path)}
    return volumes <= derived | {PVC_SOURCE_VOLUME}


def _record_targets(pod: PodDraft, request: ModelRequest) -> None:
    """Name the targets in their annotation: other webhooks may add containers before a second call chooses again."""
    annotations = pod.edit_path("metadata", "annotations")
    annotations[str(keys.CONTAINERS)] = ",".join(request.targets)


def claim_volume(pod: PodDraft, request: ModelRequest, source: Source) -> str:
    """The name of the volume that serves a source's claim; one is added when the pod has none.

    For one model, the added volume has KServe's name, and for several a name that is derived from the mount path.
    Raises Denied when the pod has a different volume of KServe's name.
    """
    assert source.claim is not None
    claim = source.claim.claim
    use = ClaimUse(claim, not request.read_only, request.targets, source.mount_path, source.claim.file_name)
    if not request.several:
        return only_claim_volume(pod, request, use)
    if own := serving_volume(pod, use):
        return own
    return ensure_claim_volume(pod, use, volume_name(source.mount_path, new_volume(claim, ""), pod.spec.get("volumes")))


def only_claim_volume(pod: PodDraft, request: ModelRequest, use: ClaimUse) -> str:
    """The name of the volume that serves the claim of a single model; added under KServe's name when there is none.

    KServe's webhook looks for a volume of this name, and adds one where it mounts the claim. It mounts none in a pod
    that has the init container. Raises Denied when the pod has a different volume of KServe's name.
    """
    is_kserves = keys.SOURCE_URI in request.annotations
    if is_kserves and (request.direct or find(pod.spec.get("volumes"), PVC_SOURCE_VOLUME)):
        return ensure_claim_volume(pod, use, PVC_SOURCE_VOLUME)
    return serving_volume(pod, use) or ensure_claim_volume(pod, use, PVC_SOURCE_VOLUME)


def claim_mount(volume: str, source: Source, *, read_only: bool) -> JsonObject:
    """The volume mount of a source: a directory at the mount path, or a single file inside it.

    Servers expect a directory at the mount path, so a file is never mounted there.
    """
    assert source.claim is not None
    return mount(volume, source.arrival_path, read_only=read_only, sub_path=source.claim.path)


def _possible_paths(source: Source) -> tuple[str, ...]:
    """Where the source is mounted as a directory and as a file: the setting of single files may have changed."""
    assert source.claim is not None
    return source.mount_path, f"{source.mount_path}/{source.claim.file_name}"
