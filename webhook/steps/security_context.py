"""Security context of injected containers: no more privileges than the pod, so that Pod Security admits it."""

from __future__ import annotations

from typing import Any

from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft, find
from webhook.request.oci import has_modelcar_name
from webhook.steps.inputs import Inputs

# Fields of the default that do not depend on the pod's other containers.
_UNCONDITIONAL = frozenset({"allowPrivilegeEscalation", "capabilities"})
_WITHOUT_CAPABILITIES: JsonObject = {"capabilities": {"drop": ["ALL"]}}
_IDS = frozenset({"runAsUser", "runAsGroup"})
# Kubernetes rejects the other fields on Windows pods.
_ON_WINDOWS = frozenset({"runAsNonRoot", "windowsOptions"})


def secure_injected_containers(pod: PodDraft, inputs: Inputs) -> None:
    """Set the securityContext of each added container to that of the settings, or to a restricted default.

    A container that KServe's webhook added gets it too; one that this webhook added before stays as it is.
    """
    if not pod.added and not pod.adopted:
        return
    chosen = inputs.settings.storage_defaults.security_context
    context = _default_context(pod) if chosen is None else chosen
    if (pod.spec.get("os") or {}).get("name") == "windows":
        context = {field: value for field, value in context.items() if field in _ON_WINDOWS}
    for place in [*pod.added, *(place for place in pod.adopted if not _is_secured(pod, place, context))]:
        container = pod.edit_container(place[1], place[0])
        own = container.get("securityContext") or {}
        # A modelcar has the ids of its targets, or else those of its image: with others they could not read the model.
        # They also could not if it had capabilities that they lack (ptrace(2)).
        default, ids = (_WITHOUT_CAPABILITIES, _IDS) if has_modelcar_name(container) else ({}, ())
        container["securityContext"] = {**default, **{key: context[key] for key in context if key not in ids}, **own}
        if _is_root_forbidden(pod, container):
            _allow_root(pod, container, {**(chosen or {}), **own})


def _is_root_forbidden(pod: PodDraft, container: JsonObject) -> bool:
    """Whether the container is to run as user 0 and must not: the kubelet does not start it."""
    context = {**(pod.spec.get("securityContext") or {}), **container["securityContext"]}
    return context.get("runAsUser") == 0 and _runs_as_non_root(context)


def _allow_root(pod: PodDraft, container: JsonObject, chosen: JsonObject) -> None:
    """Drop the restriction to other users, unless the administrator chose it. No other user id is known."""
    if "runAsNonRoot" in chosen:
        pod.warnings.append(
            f"container {quoted(container['name'])} cannot start: the settings forbid user 0, which the pod selects: "
            "set another user in spec.securityContext.runAsUser"
        )
        return
    context = container["securityContext"]
    context.pop("runAsNonRoot", None)
    if _runs_as_non_root(pod.spec.get("securityContext") or {}):
        context["runAsNonRoot"] = False


def _is_secured(pod: PodDraft, place: tuple[str, str], context: JsonObject) -> bool:
    """Whether an earlier call of this webhook set the securityContext. Others may have changed its values since."""
    field, name = place
    existing = (find(pod.spec.get(field), name) or {}).get("securityContext") or {}
    return (context.keys() & _UNCONDITIONAL or context.keys()) <= existing.keys()


def _default_context(pod: PodDraft) -> JsonObject:
    """The restrictions that suit every image, and those that all containers of the pod already have.

    runAsNonRoot is not always set: it keeps an image that runs as root from starting.
    """
    context: JsonObject = {"allowPrivilegeEscalation": False, **_WITHOUT_CAPABILITIES}
    of_pod = pod.spec.get("securityContext") or {}
    added = {name for _, name in [*pod.added, *pod.adopted]}
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    others = [each.get("securityContext") or {} for each in containers if each["name"] not in added]
    if _runs_as_non_root(of_pod) or all(map(_runs_as_non_root, others)):
        context["runAsNonRoot"] = True
    seccomp = _seccomp(of_pod)
    if seccomp != "Localhost" and (seccomp == "RuntimeDefault" or all(map(_has_seccomp_profile, others))):
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return context


def _runs_as_non_root(context: dict[str, Any]) -> bool:
    return context.get("runAsNonRoot") is True


def _has_seccomp_profile(context: dict[str, Any]) -> bool:
    return _seccomp(context) in ("RuntimeDefault", "Localhost")


def _seccomp(context: dict[str, Any]) -> Any:
    profile = context.get("seccompProfile")
    return profile.get("type") if isinstance(profile, dict) else None
