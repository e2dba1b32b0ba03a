"""The shared cache: one pod downloads, all others mount what it brought."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.cache.command import STOCK_COMMAND, CachedModel, Limits, wrapped
from webhook.cache.key import key
from webhook.errors import Denied, shown
from webhook.pod import JsonObject, PodDraft, mount
from webhook.request import ModelRequest
from webhook.shared_cache import has_no_effect, shared_cache
from webhook.steps.download import initializer
from webhook.steps.inputs import Inputs
from webhook.steps.storage_container import chosen_container
from webhook.uri import ClaimPath

CACHE_VOLUME = "storage-cache"
CACHE_ROOT = "/mnt/storage-cache"


def download_into_cache(pod: PodDraft, inputs: Inputs) -> None:
    """Add the init container with the cache's claim, and mount the model's directory of it, read-only, in the targets.

    The init container mounts the claim's root: a sub-path that is not there yet would be made by the kubelet, as root.
    """
    request = inputs.request
    if has_no_effect(request):
        pod.warnings.append(f"annotation {keys.CACHE} has no effect: this pod downloads no single model to share")
    cache = shared_cache(request, inputs.settings)
    if cache is None:
        return
    pod.ensure_volume({"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": cache.claim}})
    container = initializer(inputs)
    container["volumeMounts"] = [mount(CACHE_VOLUME, CACHE_ROOT, read_only=False)]
    pod.add_container(container)
    sub_path = _model(request, cache).sub_path
    for target in request.targets:
        pod.ensure_mount(
            pod.edit_container(target), mount(CACHE_VOLUME, request.mount_path, read_only=True, sub_path=sub_path)
        )


def wrap_downloader(pod: PodDraft, inputs: Inputs) -> None:
    """Have the init container's command, whoever chose it, download once and into the cache.

    Raises Denied when the command cannot be known: an image's own entry point is not in the pod.
    """
    cache = shared_cache(inputs.request, inputs.settings)
    container = pod.edit_init_container()
    if cache is None or container is None:
        return
    command, args = wrapped(
        _command(container, inputs),
        container.get("args") or (),
        inputs.request.mount_path,
        _model(inputs.request, cache),
        Limits(),
    )
    container["command"], container["args"] = command, args


def _model(request: ModelRequest, cache: ClaimPath) -> CachedModel:
    uri = request.downloaded[0].uri
    pins = {
        "storage_key": request.annotations.get(keys.STORAGE_SPEC_KEY),
        "parameters": request.annotations.get(keys.STORAGE_SPEC_PARAM),
    }
    return CachedModel(uri, CACHE_ROOT, cache.path, key(uri, **pins))


def _command(container: JsonObject, inputs: Inputs) -> list[str]:
    command: list[str] = container.get("command") or []
    chosen = chosen_container(inputs)
    if not command and chosen is not None and chosen.container.get("image"):
        raise Denied(
            f"ClusterStorageContainer {shown(chosen.name)} names no command, so its download cannot be shared: add "
            f'"command" to its container, or set annotation {keys.CACHE} to "none"'
        )
    return command or list(STOCK_COMMAND)
