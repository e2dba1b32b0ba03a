"""Pod-level resources (KEP-2837): requests of all containers of a pod together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook import quantity
from webhook.annotations import CPU_REQUEST, MEMORY_REQUEST
from webhook.errors import Denied, quoted
from webhook.pod.pod import INIT_CONTAINER_NAME, PodDraft
from webhook.steps.inputs import Inputs

_ANNOTATIONS = {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST}


def fit_pod_resources(pod: PodDraft, inputs: Inputs) -> None:
    """Lower the requests of the added containers so that they fit the pod-level requests.

    Kubernetes rejects a pod whose containers request more than the pod-level request. The requests are set to "0"
    because Kubernetes replaces a missing request by the limit.
    Raises Denied when the pod's annotation requests more than the pod-level request or limit.
    """
    pod_level = pod.spec.get("resources")
    if not pod_level:
        return
    for name, annotation in _ANNOTATIONS.items():
        requested, limit = amount(pod_level, "requests", name), amount(pod_level, "limits", name)
        for field, container_name in [*pod.added, *pod.adopted]:
            container = pod.edit_container(container_name, field)
            request = amount(container.get("resources") or {}, "requests", name)
            if request is None or (requested is None and not _is_more(request, limit)):
                continue
            if container_name != INIT_CONTAINER_NAME or annotation not in inputs.request.annotations:
                requests = pod.edit_object(pod.edit_object(container, "resources"), "requests")
                requests[name] = limit if requested is None else "0"
            elif _is_more(request, requested or limit):
                raise Denied(
                    f"annotation {annotation} {quoted(request)} is more than the {quoted(requested or limit)} that "
                    "spec.resources of the pod sets for all containers: lower the annotation, or raise spec.resources"
                )


def amount(resources: Mapping[str, Any], kind: str, name: str) -> Any:
    """The quantity of a resource in the `requests` or `limits`; None when it is not set."""
    amounts = resources.get(kind)
    return amounts.get(name) if isinstance(amounts, dict) else None


def _is_more(amount: Any, than: Any) -> bool:
    try:
        return quantity.parse(str(amount)) > quantity.parse(str(than))
    except ValueError:
        # The API server validates the pod's own quantities.
        return False
