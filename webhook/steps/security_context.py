"""What we inject never needs more rights than the pod had, so that Pod Security admits it as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webhook.pod import JsonObject, PodDraft
from webhook.steps.inputs import Inputs


def secure_injected_containers(pod: PodDraft, inputs: Inputs) -> None:
    """Give each container that was added the settings' securityContext, or one that Pod Security restricted admits."""
    if not pod.added:
        return
    context = inputs.settings.storage_defaults.security_context
    if context is None:
        context = _restricted(pod)
    for field, name in pod.added:
        container = pod.edit_container(name, field)
        container["securityContext"] = {**context, **(container.get("securityContext") or {})}


def _restricted(pod: PodDraft) -> JsonObject:
    """Only what cannot hurt, and what every container of the pod already promises.

    runAsNonRoot on a pod that runs as root would keep an image that runs as root from starting.
    """
    context: JsonObject = {}
    if _all_have(pod, _runs_as_non_root):
        context["runAsNonRoot"] = True
    if (pod.spec.get("os") or {}).get("name") == "windows":
        # Kubernetes rejects the Linux-only fields on Windows pods.
        return context
    if _all_have(pod, _has_runtime_seccomp):
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **context}


def _all_have(pod: PodDraft, promise: Callable[[dict[str, Any]], bool]) -> bool:
    if promise(pod.spec.get("securityContext") or {}):
        return True
    added = {name for _, name in pod.added}
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    return all(promise(c.get("securityContext") or {}) for c in containers if c["name"] not in added)


def _runs_as_non_root(context: dict[str, Any]) -> bool:
    return context.get("runAsNonRoot") is True


def _has_runtime_seccomp(context: dict[str, Any]) -> bool:
    profile = context.get("seccompProfile")
    return isinstance(profile, dict) and profile.get("type") == "RuntimeDefault"
