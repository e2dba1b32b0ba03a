"""STORAGE_URI of custom model servers: the path of the model after injection."""

from __future__ import annotations

from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs

STORAGE_URI = "STORAGE_URI"


def set_storage_uri(pod: PodDraft, inputs: Inputs) -> None:
    """Replace STORAGE_URI in the targets by the mount path. KServe does the same."""
    request = inputs.request
    if request.several:
        return
    for target in request.targets:
        replace_storage_uri(pod, target, request.mount_path)


def replace_storage_uri(pod: PodDraft, container_name: str, path: str) -> None:
    """Set STORAGE_URI of the container to the path, if the variable has a value."""
    for index, variable in enumerate(pod.container(container_name).get("env") or ()):
        if variable["name"] == STORAGE_URI and variable.get("value"):
            # Duplicate names are allowed and the last one takes effect, so all of them are set.
            variables = pod.edit_list(pod.edit_target(container_name), "env")
            pod.edit_object(variables, index)["value"] = path
