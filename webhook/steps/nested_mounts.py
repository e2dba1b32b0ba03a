"""Volumes of the pod that are mounted inside a model."""

from __future__ import annotations

from itertools import accumulate

from webhook.annotations import READ_ONLY
from webhook.errors import quoted
from webhook.pod.pod import PodDraft, find
from webhook.request.model_request import Source
from webhook.steps.inputs import Inputs


def warn_about_nested_mounts(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about volumes that a target mounts inside a read-only model.

    The container runtime cannot create a mount point there, so the container starts only if the model contains it.
    """
    model_paths = {_mount_path(source) for source in inputs.request.sources}
    # Several downloads are mounted at a common parent directory, so the parents of each path count too.
    candidates = {parent for path in model_paths for parent in accumulate(path.split("/")[1:], _join, initial="")}
    for target in inputs.request.targets:
        mounts = (find(pod.spec["containers"], target) or {}).get("volumeMounts") or ()
        by_path = {str(mount.get("mountPath")).rstrip("/"): mount for mount in mounts}
        read_only = tuple(f"{path}/" for path, mount in by_path.items() if mount.get("readOnly") and path in candidates)
        for path, nested in by_path.items():
            if path.startswith(read_only) and path not in model_paths:
                pod.warnings.append(
                    f"container {quoted(target)} mounts volume {quoted(nested['name'])} at {quoted(path)}, inside the "
                    "read-only model: the container cannot start unless the model contains that directory; move the "
                    f'mount, or set annotation {READ_ONLY} to "false"'
                )


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}"


def _mount_path(source: Source) -> str:
    """The path of a source in the targets: its mount path, or a single file inside it."""
    return f"{source.mount_path}/{source.claim.file_name}" if source.claim and source.is_file else source.mount_path
