"""Pods that request for all their containers together (Kubernetes: pod-level resources, KEP-2837)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook import quantity
from webhook.annotations import CPU_REQUEST, MEMORY_REQUEST
from webhook.errors import Denied, shown
from webhook.pod import INIT_CONTAINER_NAME, PodDraft
from webhook.steps.inputs import Inputs

_ANNOTATIONS = {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST}


def fit_pod_resources(pod: PodDraft, inputs: Inputs) -> None:
    """Let the pod's own requests cover the containers that were added.

    Kubernetes rejects a pod whose containers request more than the pod does; a request of "0" stays, where none at
    all would be made the limit. Raises Denied when the pod's annotation asks for more than the pod has.
    """
    whole = pod.spec.get("resources") or {}
    for name, annotation in _ANNOTATIONS.items():
        requested, limit = _amount(whole, "requests", name), _amount(whole, "limits", name)
        for field, added in pod.added:
            container = pod.edit_container(added, field)
            request = _amount(container.get("resources") or {}, "requests", name)
            if request is None or (requested is None and not _is_more(request, limit)):
                continue
            if added != INIT_CONTAINER_NAME or annotation not in inputs.request.annotations:
                requests = pod.edit_object(pod.edit_object(container, "resources"), "requests")
                requests[name] = limit if requested is None else "0"
            elif _is_more(request, requested or limit):
                raise Denied(
                    f"annotation {annotation} {shown(request)} is more than the {shown(requested or limit)} that "
                    "spec.resources of the pod has for all its containers: lower it, or raise that"
                )


def _amount(resources: Mapping[str, Any], kind: str, name: str) -> Any:
    amounts = resources.get(kind)
    return amounts.get(name) if isinstance(amounts, dict) else None


def _is_more(amount: Any, than: Any) -> bool:
    try:
        return quantity.parse(str(amount)) > quantity.parse(str(than))
    except ValueError:
        # What the pod has is for the API server to judge.
        return False
