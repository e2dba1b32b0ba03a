"""QoS class: a pod that is Guaranteed stays Guaranteed where that costs nothing.

Kubernetes: Pod Quality of Service Classes. A pod is Guaranteed if the requests of all its containers equal their
limits, for CPU and memory.
"""

from __future__ import annotations

from decimal import Decimal

from webhook import annotations as keys
from webhook import quantity
from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft
from webhook.steps import digest
from webhook.steps.inputs import Inputs
from webhook.steps.pod_resources import amount

# The annotations with the request and the limit of the init container.
_ANNOTATIONS = {"cpu": (keys.CPU_REQUEST, keys.CPU_LIMIT), "memory": (keys.MEMORY_REQUEST, keys.MEMORY_LIMIT)}


def keep_guaranteed(pod: PodDraft, inputs: Inputs) -> None:
    """Raise the init container's requests to its limits in a Guaranteed pod that already reserves as much.

    Requests from the pod's annotations stay. A pod that becomes Burstable gets a warning. Where spec.resources is set,
    it alone decides the class.
    """
    pod_level = pod.spec.get("resources") or {}
    if not pod.added or pod_level.get("requests") or pod_level.get("limits") or not _was_guaranteed(pod):
        return
    added = {name: pod.edit_container(name, field) for field, name in pod.added}
    for name in {INIT_CONTAINER_NAME, digest.CONTAINER} & added.keys():
        _raise_requests(pod, added[name], inputs)
    if burstable := next((container for container in added.values() if not _is_guaranteed(container)), None):
        pod.warnings.append(
            "QoS class Guaranteed is lost: the pod becomes Burstable, without exclusive CPUs. To keep it, "
            + _advice(burstable)
        )


def _was_guaranteed(pod: PodDraft) -> bool:
    added = {name for _, name in pod.added}
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    present = [each for each in containers if each["name"] not in added]
    # Most pods have a container without limits, and quantities take time to parse.
    return all(map(_has_limits, present)) and all(map(_is_guaranteed, present))


def _has_limits(container: JsonObject) -> bool:
    return bool((container.get("resources") or {}).get("limits"))


def _is_guaranteed(container: JsonObject) -> bool:
    return all(_limit(container, name) > 0 and _equals_limit(container, name) for name in _ANNOTATIONS)


def _raise_requests(pod: PodDraft, initializer: JsonObject, inputs: Inputs) -> None:
    resources = initializer.get("resources") or {}
    limits, annotations = resources.get("limits") or {}, inputs.request.annotations
    raised = {name: limits.get(name) for name, (request, _) in _ANNOTATIONS.items() if request not in annotations}
    requests = {**(resources.get("requests") or {}), **raised}
    candidate = {**initializer, "resources": {**resources, "requests": requests}}
    if _is_guaranteed(candidate) and all(_costs_nothing(pod, candidate, name) for name in raised):
        initializer["resources"] = candidate["resources"]


def _costs_nothing(pod: PodDraft, candidate: JsonObject, name: str) -> bool:
    """Whether the pod reserves no more with this init container than with the one that it has."""
    return _reserved(pod, name, candidate) <= _reserved(pod, name)


def _reserved(pod: PodDraft, name: str, replacement: JsonObject | None = None) -> Decimal:
    """The pod's effective request: that of all its containers together, or of an init container if that is more.

    Native sidecars also run while the init containers after them do (Kubernetes: Resource sharing within containers).
    `replacement` is used for the init container of the same name.
    """
    sidecars, most = Decimal(0), Decimal(0)
    for each in pod.spec.get("initContainers") or ():
        container = replacement if replacement and each["name"] == replacement["name"] else each
        most = max(most, sidecars + _request(container, name))
        if container.get("restartPolicy") == "Always":
            sidecars += _request(container, name)
    return max(most, sidecars + sum(_request(each, name) for each in pod.spec.get("containers") or ()))


def _advice(container: JsonObject) -> str:
    """What the pod's author, or the administrator, can set so that the container's requests equal its limits."""
    if container["name"] != INIT_CONTAINER_NAME:
        return "ask the administrator to set cpuModelcar and memoryModelcar above 0"
    wanted = []
    for name, (request, limit) in _ANNOTATIONS.items():
        if not _limit(container, name):
            wanted.append(f"{limit} above 0")
        elif not _equals_limit(container, name):
            wanted.append(f'{request} "{amount(container["resources"], "limits", name)}"')
    return f"set {' and '.join(wanted)}: the pod then reserves its limits"


def _equals_limit(container: JsonObject, name: str) -> bool:
    return _request(container, name) == _limit(container, name)


def _request(container: JsonObject, name: str) -> Decimal:
    """The request. Kubernetes replaces a missing one by the limit."""
    is_set = amount(container.get("resources") or {}, "requests", name) is not None
    return _quantity(container, "requests", name) if is_set else _limit(container, name)


def _limit(container: JsonObject, name: str) -> Decimal:
    return _quantity(container, "limits", name)


def _quantity(container: JsonObject, kind: str, name: str) -> Decimal:
    """The quantity; 0 when it is missing or invalid."""
    try:
        return quantity.parse(str(amount(container.get("resources") or {}, kind, name)))
    except ValueError:
        return Decimal(0)
