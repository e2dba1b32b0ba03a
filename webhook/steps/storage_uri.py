"""Custom servers that read STORAGE_URI are told where the model arrived."""

from __future__ import annotations

from webhook.pod import PodDraft, find
from webhook.steps.inputs import Inputs

STORAGE_URI = "STORAGE_URI"


def point_storage_uri_at_the_model(pod: PodDraft, inputs: Inputs) -> None:
    """Set the targets' environment variable STORAGE_URI, where it has a value, to the mount path (as KServe does)."""
    request = inputs.request
    if request.several:
        return
    for target in request.targets:
        container = find(pod.spec["containers"], target) or {}
        variable = find(container.get("env"), STORAGE_URI)
        if variable is not None and variable.get("value"):
            pod.set_env(pod.edit_container(target), {**variable, "value": request.mount_path})
