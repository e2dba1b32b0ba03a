"""Secrets for pulling the initializer's image, from the settings."""

from __future__ import annotations

from webhook.pod.pod import INIT_CONTAINER_NAME, PodDraft
from webhook.steps.inputs import Inputs
from webhook.steps.path_check import CONTAINER

_OF_THE_IMAGE = frozenset({INIT_CONTAINER_NAME, CONTAINER})


def add_pull_secrets(pod: PodDraft, inputs: Inputs) -> None:
    """Add the settings' pull Secrets to a pod that gets a container of the initializer's image.

    ServiceAccount admission has copied those of the service account to a pod that has none of its own.
    """
    wanted = inputs.settings.storage_defaults.image_pull_secrets
    if not wanted or not any(name in _OF_THE_IMAGE for _, name in pod.added):
        return
    present = pod.spec.get("imagePullSecrets")
    if not isinstance(present, list | None):
        return  # the API server rejects the pod
    known = {str(each.get("name")) for each in present or () if isinstance(each, dict)}
    missing = [{"name": name} for name in wanted if name not in known]
    if missing:
        pod.edit_list(pod.edit_spec(), "imagePullSecrets").extend(missing)
