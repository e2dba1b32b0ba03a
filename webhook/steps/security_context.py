"""What we inject never needs more rights than the pod had, so that Pod Security admits it as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webhook.pod import JsonObject, PodDraft
from webhook.steps.inputs import Inputs

# Kubernetes rejects the other fields on Windows pods.
_ON_WINDOWS = frozenset({"runAsNonRoot", "windowsOptions"})


def secure_injected_containers(pod: PodDraft, inputs: Inputs) -> None:
    """Give each container that was added the settings' securityContext, or one that Pod Security restricted admits."""
    if not pod.added:
        return
    context = inputs.settings.storage_defaults.security_context
    if context is None:
        context = _restricted(pod)
    if (pod.spec.get("os") or {}).get("name") == "windows":
        context = {field: value for field, value in context.items() if field in _ON_WINDOWS}
    for field, name in pod.added:
        container = pod.edit_container(name, field)
        container["securityContext"] = {**context, **(container.get("securityContext") or {})}


def _restricted(pod: PodDraft) -> JsonObject:
    """Only what cannot hurt, and what every container of the pod already promises.

    runAsNonRoot on a pod that runs as root would keep an image that runs as root from starting.
    """
    context: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if _promised(pod, _runs_as_non_root):
        context["runAsNonRoot"] = True
    if _seccomp(pod.spec.get("securityContext") or {}) != "Localhost" and _promised(pod, _is_confined):
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return context


def _promised(pod: PodDraft, promise: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether the pod, or each container that it came with, keeps the promise."""
    if promise(pod.spec.get("securityContext") or {}):
        return True
    added = {name for _, name in pod.added}
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    return all(promise(c.get("securityContext") or {}) for c in containers if c["name"] not in added)


def _runs_as_non_root(context: dict[str, Any]) -> bool:
    return context.get("runAsNonRoot") is True


def _is_confined(context: dict[str, Any]) -> bool:
    return _seccomp(context) in ("RuntimeDefault", "Localhost")


def _seccomp(context: dict[str, Any]) -> Any:
    profile = context.get("seccompProfile")
    return profile.get("type") if isinstance(profile, dict) else None
