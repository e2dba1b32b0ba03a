"""Security context of injected containers: no more privileges than the pod, so that Pod Security admits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webhook.pod.pod import JsonObject, PodDraft
from webhook.steps.inputs import Inputs

# Kubernetes rejects the other fields on Windows pods.
_ON_WINDOWS = frozenset({"runAsNonRoot", "windowsOptions"})


def secure_injected_containers(pod: PodDraft, inputs: Inputs) -> None:
    """Set the securityContext of each added container to that of the settings, or to a restricted default."""
    if not pod.added:
        return
    context = inputs.settings.storage_defaults.security_context
    if context is None:
        context = _default_context(pod)
    if (pod.spec.get("os") or {}).get("name") == "windows":
        context = {field: value for field, value in context.items() if field in _ON_WINDOWS}
    for field, name in pod.added:
        container = pod.edit_container(name, field)
        container["securityContext"] = {**context, **(container.get("securityContext") or {})}


def _default_context(pod: PodDraft) -> JsonObject:
    """The restrictions that suit every image, and those that all containers of the pod already have.

    runAsNonRoot is not always set: it keeps an image that runs as root from starting.
    """
    context: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if _is_guaranteed(pod, _runs_as_non_root):
        context["runAsNonRoot"] = True
    if _seccomp(pod.spec.get("securityContext") or {}) != "Localhost" and _is_guaranteed(pod, _has_seccomp_profile):
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return context


def _is_guaranteed(pod: PodDraft, condition: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether the pod's security context, or that of each container that was not added, meets the condition."""
    if condition(pod.spec.get("securityContext") or {}):
        return True
    added = {name for _, name in pod.added}
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    return all(condition(c.get("securityContext") or {}) for c in containers if c["name"] not in added)


def _runs_as_non_root(context: dict[str, Any]) -> bool:
    return context.get("runAsNonRoot") is True


def _has_seccomp_profile(context: dict[str, Any]) -> bool:
    return _seccomp(context) in ("RuntimeDefault", "Localhost")


def _seccomp(context: dict[str, Any]) -> Any:
    profile = context.get("seccompProfile")
    return profile.get("type") if isinstance(profile, dict) else None
