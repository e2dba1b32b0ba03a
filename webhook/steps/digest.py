"""The digests of models in claims that are mounted: an init container checks them before the servers start."""

from __future__ import annotations

from webhook.download.command import Delivery, Models, check_models
from webhook.pod.pod import JsonObject, PodDraft, find, mount
from webhook.steps.claims import claim_volume
from webhook.steps.inputs import Inputs
from webhook.steps.supervision import delivery

CONTAINER = "storage-digest"
ROOT = "/mnt/storage-digest"

# Reading takes as much CPU as there is, and 20 MiB with 300 bytes for each file.
_MEMORY = "128Mi"


def check_mounted_digests(pod: PodDraft, inputs: Inputs) -> None:
    """Add an init container that mounts the claims read-only, and fails if a model has another digest."""
    request = inputs.request
    checked = [source for source in request.mounted if source.sha256]
    if not checked or _is_present(pod):
        return
    mounted, digests = {}, {}
    for source in checked:
        volume = claim_volume(pod, request, source)
        root = f"{ROOT}/{volume}"
        mounted[root] = mount(volume, root, read_only=True)
        path = source.claim.path if source.claim else ""
        digests[f"{root}/{path}".rstrip("/")] = source.sha256
    models = Models(" ".join(source.uri for source in checked), digests)
    container = _container(models, delivery(request, inputs.settings, {}), inputs)
    container["volumeMounts"] = list(mounted.values())
    pod.add_container(container)


def _is_present(pod: PodDraft) -> bool:
    """Whether an earlier call added the container."""
    existing = find(pod.spec.get("initContainers"), CONTAINER) or {}
    return any(str(each.get("mountPath")).startswith(f"{ROOT}/") for each in existing.get("volumeMounts") or ())


def _container(models: Models, how: Delivery, inputs: Inputs) -> JsonObject:
    config = inputs.settings.storage_initializer
    command, args = check_models(models, how)
    return {
        "name": CONTAINER,
        "image": config.image,
        "command": command,
        "args": args,
        "resources": {
            "requests": {"cpu": config.cpu_request, "memory": _MEMORY},
            "limits": {"cpu": config.cpu_limit, "memory": _MEMORY},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
