"""The check that the paths of mounted claims exist: an init container that only looks."""

from __future__ import annotations

from webhook.annotations import CHECK_PATH
from webhook.download.command import ClaimedPath, check_command
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft, find, mount
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings
from webhook.steps.claims import claim_volume
from webhook.steps.inputs import Inputs

CONTAINER = "storage-path-check"
ROOT = "/mnt/storage-path-check"

# Requests that equal the limits, so that a Guaranteed pod stays Guaranteed. The program needs 20 MiB.
_AMOUNTS = {"cpu": "100m", "memory": "64Mi"}


def check_paths(pod: PodDraft, inputs: Inputs) -> None:
    """Add an init container that fails if a path does not exist in its claim. It mounts the claim's root read-only.

    When the kubelet starts a container, it creates a missing subPath in the claim: an empty directory of root.
    Raises Denied when the annotation is invalid.
    """
    if not _is_enabled(inputs.request, inputs.settings):
        return
    request = inputs.request
    paths = {
        ClaimedPath(source.claim.claim, f"{ROOT}/{volume}", source.claim.path, source.is_file): volume
        for source in request.mounted
        if source.claim and source.claim.path and (volume := claim_volume(pod, request, source))
    }
    if paths and not _is_present(pod):
        pod.add_container(_container(paths, inputs.settings))


def _is_enabled(request: ModelRequest, settings: Settings) -> bool:
    text = request.annotations.get(CHECK_PATH)
    if text is None:
        return settings.storage_defaults.check_path
    wanted = text.strip().lower()
    if wanted not in ("true", "false"):
        raise Denied(f"annotation {CHECK_PATH} {quoted(text)} is invalid: use true or false")
    return wanted == "true"


def _is_present(pod: PodDraft) -> bool:
    """Whether an earlier call added the container."""
    existing = find(pod.spec.get("initContainers"), CONTAINER) or {}
    return any(str(each.get("mountPath")).startswith(f"{ROOT}/") for each in existing.get("volumeMounts") or ())


def _container(paths: dict[ClaimedPath, str], settings: Settings) -> JsonObject:
    command, args = check_command(paths)
    roots = {path.root: volume for path, volume in paths.items()}
    policy = settings.storage_defaults.image_pull_policy
    return {
        "name": CONTAINER,
        "image": settings.storage_initializer.image,
        **({"imagePullPolicy": policy} if policy else {}),
        "command": command,
        "args": args,
        "resources": {"requests": dict(_AMOUNTS), "limits": dict(_AMOUNTS)},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount(volume, root, read_only=True) for root, volume in roots.items()],
    }
