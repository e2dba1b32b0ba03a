"""Confidential serving: the init container decrypts what it downloads."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs


def enable_confidential(pod: PodDraft, inputs: Inputs) -> None:
    """Set the variables that make the init container decrypt the model: the switch, and the key's resource ID."""
    annotations = inputs.request.annotations
    container = pod.edit_init_container()
    if container is None or annotations.get(keys.CONFIDENTIAL_ENABLED) != "true":
        return
    pod.set_env(container, {"name": "CONFIDENTIAL_ENABLED", "value": "true"})
    if resource := annotations.get(keys.CONFIDENTIAL_RESOURCE_ID):
        pod.set_env(container, {"name": "CONFIDENTIAL_RESOURCE_ID", "value": resource})
