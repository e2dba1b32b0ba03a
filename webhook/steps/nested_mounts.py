"""Volumes of the pod's own that are mounted inside a model."""

from __future__ import annotations

from itertools import accumulate

from webhook.annotations import READ_ONLY
from webhook.errors import shown
from webhook.pod import PodDraft, find
from webhook.request import Source
from webhook.steps.inputs import Inputs


def warn_of_nested_mounts(pod: PodDraft, inputs: Inputs) -> None:
    """Warn of what a server mounts inside a read-only model.

    The runtime cannot make the mount point there, so the container starts only where the model brings it.
    """
    arrivals = {_arrival(source) for source in inputs.request.sources}
    above = {path for arrival in arrivals for path in accumulate(arrival.split("/")[1:], _joined, initial="")}
    for target in inputs.request.targets:
        mounts = (find(pod.spec["containers"], target) or {}).get("volumeMounts") or ()
        by_path = {str(mount.get("mountPath")).rstrip("/"): mount for mount in mounts}
        models = tuple(f"{path}/" for path, mount in by_path.items() if mount.get("readOnly") and path in above)
        for path, nested in by_path.items():
            if path.startswith(models) and path not in arrivals:
                pod.warnings.append(
                    f"container {shown(target)} mounts volume {shown(nested['name'])} at {shown(path)}, inside the "
                    "read-only model: it cannot start unless the model has that directory; move the mount, or set "
                    f'annotation {READ_ONLY} to "false"'
                )


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}"


def _arrival(source: Source) -> str:
    """Where a source is mounted: a single file inside its directory."""
    return f"{source.mount_path}/{source.claim.file_name}" if source.claim and source.is_file else source.mount_path
