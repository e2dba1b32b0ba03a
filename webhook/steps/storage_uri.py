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
        point(pod, target, request.mount_path)


def point(pod: PodDraft, server: str, path: str) -> None:
    """Set this container's STORAGE_URI, where it has a value, to the path."""
    for index, variable in enumerate((find(pod.spec["containers"], server) or {}).get("env") or ()):
        if variable["name"] == STORAGE_URI and variable.get("value"):
            # Of two variables with one name the last counts, so all are set.
            variables = pod.edit_list(pod.edit_container(server), "env")
            pod.edit_object(variables, index)["value"] = path
