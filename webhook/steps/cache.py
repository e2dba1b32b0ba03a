"""The shared cache: one pod downloads a model, and all pods mount that copy."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.download.command import CachedModel, redirected, wrap_cached
from webhook.download.inputs import download_inputs
from webhook.download.key import key
from webhook.pod.claim_volume import ClaimUse, ensure_claim_volume, new_volume, serving_volume
from webhook.pod.naming import volume_name
from webhook.pod.pod import JsonObject, PodDraft, mount
from webhook.request.model_request import ModelRequest
from webhook.request.shared_cache import has_no_effect, is_copied
from webhook.steps.ca_bundle import CA_BUNDLE_VOLUME
from webhook.steps.download import build_init_container, ensure_download_volume
from webhook.steps.emptied import check_emptied
from webhook.steps.inputs import Inputs
from webhook.steps.supervision import delivery, downloader
from webhook.uri import ClaimPath

CACHE_VOLUME = "storage-cache"
CACHE_ROOT = "/mnt/storage-cache"


def download_into_cache(pod: PodDraft, inputs: Inputs) -> None:
    """Add the init container with the cache's claim.

    The init container mounts the claim's root: the kubelet would create a missing subPath with owner root.
    """
    request = inputs.request
    if has_no_effect(request):
        pod.warnings.append(
            f"annotation {keys.CACHE} has no effect: only a pod that downloads exactly one model can share a cache"
        )
    cache = inputs.cache
    if cache is None:
        if keys.CACHE_MOUNT in request.annotations:
            pod.warnings.append(f"annotation {keys.CACHE_MOUNT} has no effect: the pod uses no shared cache")
        return
    container = build_init_container(inputs)
    container["volumeMounts"] = [mount(_cache_volume(pod, request, cache), CACHE_ROOT, read_only=False)]
    pod.add_container(container)
    if is_copied(request):
        _mount_copy(pod, container, inputs)


def _mount_copy(pod: PodDraft, container: JsonObject, inputs: Inputs) -> None:
    """Mount a volume for the pod's copy of the model in the init container and in the targets."""
    request = inputs.request
    volume = ensure_download_volume(
        pod, request, request.mount_path, inputs.settings.storage_defaults, emptied_for=f"{keys.CACHE_MOUNT} copy"
    )
    pod.ensure_mount(container, mount(volume, request.mount_path, read_only=False))
    for target in request.targets:
        pod.ensure_mount(pod.edit_target(target), mount(volume, request.mount_path, read_only=request.read_only))


def _cache_volume(pod: PodDraft, request: ModelRequest, cache: ClaimPath) -> str:
    """The name of the volume that serves the cache's claim; one is added when the pod has none."""
    use = ClaimUse(cache.claim, writes=True, containers=request.targets, path=request.mount_path)
    if own := serving_volume(pod, use):
        return own
    volume = new_volume(cache.claim, CACHE_VOLUME)
    return ensure_claim_volume(pod, use, volume_name(f"/{CACHE_VOLUME}", volume, pod.spec.get("volumes")))


def share_download(pod: PodDraft, inputs: Inputs) -> None:
    """Make the init container download once, into the cache, and mount the model's directory in the targets.

    Runs when all that decides the download is in the init container, because the directory's name is computed from it.
    Raises Denied when the command is unknown: the pod does not contain the image's entry point.
    """
    request, cache = inputs.request, inputs.cache
    container = pod.edit_init_container() if cache else None
    if cache is None or container is None:
        return
    volume = _cache_volume(pod, request, cache)
    model = _cached_model(pod, container, cache, inputs)
    if model.copied:
        check_emptied(container, [request.mount_path])
    advice = f'its download cannot be shared: add "command" to its container, or set annotation {keys.CACHE} to "none"'
    command, args = downloader(container, inputs, advice), container.get("args") or ()
    container["command"], container["args"] = wrap_cached(
        command, args, request.mount_path, model, delivery(request, inputs.settings, container)
    )
    if model.copied:
        if keys.SUPERVISE in request.annotations or keys.STALL_TIMEOUT in request.annotations:
            pod.warnings.append(
                f"annotations {keys.SUPERVISE} and {keys.STALL_TIMEOUT} have no effect with {keys.CACHE_MOUNT} copy: "
                f"{keys.DOWNLOAD_TIMEOUT} still limits the download and the copy"
            )
        return
    wanted = mount(volume, request.mount_path, read_only=True, sub_path=model.sub_path)
    for target in request.targets:
        pod.ensure_mount(pod.edit_target(target), wanted)


def _cached_model(pod: PodDraft, container: JsonObject, cache: ClaimPath, inputs: Inputs) -> CachedModel:
    source = inputs.request.downloaded[0]
    # The pod's copy is made of what was downloaded.
    own = {CACHE_ROOT, inputs.request.mount_path}
    downloader = {
        **container,
        "args": redirected(container.get("args") or (), inputs.request.mount_path),
        "volumeMounts": [each for each in container["volumeMounts"] if each["mountPath"] not in own],
    }
    given = download_inputs(pod.spec, downloader, inputs.settings.storage_initializer.image, {CA_BUNDLE_VOLUME})
    fs_group = (pod.spec.get("securityContext") or {}).get("fsGroup")
    group = fs_group if isinstance(fs_group, int) else None
    inputs_of_key = [given, _identity(inputs), *([source.sha256] if source.sha256 else [])]
    identifier = key(source.uri, inputs_of_key)
    copied = is_copied(inputs.request)
    return CachedModel(source.uri, CACHE_ROOT, cache.path, identifier, source.sha256, group, copied)


def _identity(inputs: Inputs) -> JsonObject:
    """The identity in a cloud that the service account's annotations give to its pods, as far as they say."""
    account = inputs.facts.service_account
    known = account.annotations if account else {}
    return {name: known[name] for name in keys.IDENTITIES if known.get(name)}
