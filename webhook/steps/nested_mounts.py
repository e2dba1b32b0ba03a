"""Volumes of the pod that are mounted inside a model."""

from __future__ import annotations

from itertools import accumulate, islice

from webhook.annotations import READ_ONLY
from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.request.model_request import Source
from webhook.request.shared_cache import is_copied
from webhook.steps.download import PVC_COPY_PATH
from webhook.steps.inputs import Inputs

# The API server shows no more (apiserver: warning.AddWarning).
_MAX_WARNINGS = 16


def warn_about_nested_mounts(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about volumes that a target mounts inside a read-only model.

    The container runtime cannot create a mount point there, so the container starts only if the model contains it.
    """
    containers = {name: pod.container(name) for name in inputs.request.targets}
    if not any(map(_has_nested, containers.values())):
        return
    model_paths = {_mount_path(source) for source in inputs.request.sources}
    if any(source.claim for source in inputs.request.downloaded):
        # The init container mounts the claim there too, which makes the mount point.
        model_paths.add(PVC_COPY_PATH)
    # Several downloads are mounted at a common parent directory, so the parents of each path count too.
    candidates = {parent for path in model_paths for parent in accumulate(path.split("/")[1:], _join, initial="")}
    # Pods that mount the same copy of a model cannot write to it.
    is_shared = inputs.cache is not None and not is_copied(inputs.request)
    remedy = "" if is_shared else f', or set annotation {READ_ONLY} to "false"'
    warnings = (
        f"container {quoted(target)} mounts volume {quoted(nested['name'])} at {quoted(path)}, inside the read-only "
        f"model: the container cannot start unless the model contains that directory; move the mount{remedy}"
        for target, container in containers.items()
        for path, nested in _nested(container, candidates).items()
        if path not in model_paths
    )
    pod.warnings.extend(islice(warnings, _MAX_WARNINGS))


def _has_nested(container: JsonObject) -> bool:
    """Whether a mount is inside another. Few pods have one."""
    prefixes = sorted(f"{mount.get('mountPath')}".rstrip("/") + "/" for mount in container.get("volumeMounts") or ())
    # All paths inside a directory follow it directly.
    return any(map(str.startswith, prefixes[1:], prefixes))


def _nested(container: JsonObject, candidates: set[str]) -> dict[str, JsonObject]:
    """The mounts, by path, that are inside a read-only mount at one of the candidate paths."""
    by_path = {str(mount.get("mountPath")).rstrip("/"): mount for mount in container.get("volumeMounts") or ()}
    nested, outer = {}, None
    # With a slash at the end, all paths inside a directory follow it directly.
    for prefix in sorted(f"{path}/" for path in by_path):
        path = prefix[:-1]
        if outer is not None and path.startswith(outer):
            nested[path] = by_path[path]
        elif path in candidates and by_path[path].get("readOnly"):
            outer = prefix
    return nested


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}"


def _mount_path(source: Source) -> str:
    """The path of a source in the targets: its mount path, or a single file inside it."""
    return f"{source.mount_path}/{source.claim.file_name}" if source.claim and source.is_file else source.mount_path
