"""The targets of a request: the containers that get the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.pod.pod import container_names
from webhook.request import oci
from webhook.request.model_request import Source

SERVER_CONTAINERS = ("kserve-container", "worker-container")
TRANSFORMER_CONTAINER = "transformer-container"

_MAX_TARGETS = 20


def read_targets(
    pod: Mapping[str, Any],
    sources: tuple[Source, ...],
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
    warnings: list[str],
) -> tuple[str, ...]:
    """The names of the target containers; appends to `warnings`. Raises Denied when there are none."""
    present = _without_modelcars(pod, [source.image for source in sources if source.image])
    if keys.CONTAINERS in annotations:
        return _named_targets(annotations[keys.CONTAINERS], present)
    if keys.INFERENCE_SERVICE in labels:
        return _kserve_targets(present)
    if not present:
        raise Denied("the pod has no containers, so no container can get the model")
    default = annotations.get(keys.DEFAULT_CONTAINER)
    if default is not None and default not in present:
        warnings.append(
            f"annotation {keys.DEFAULT_CONTAINER} {quoted(default)} is not a container of the pod: "
            f"container {quoted(present[0])} gets the model; choose another with annotation {keys.CONTAINERS}"
        )
    return (default if default in present else present[0],)


def _named_targets(text: str, present: list[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not wanted:
        raise Denied(f"annotation {keys.CONTAINERS} is empty: set it to names of containers of the pod, or remove it")
    if len(wanted) > _MAX_TARGETS:
        raise Denied(f"annotation {keys.CONTAINERS} names {len(wanted)} containers: the maximum is {_MAX_TARGETS}")
    missing = [name for name in wanted if name not in present]
    if missing:
        names = ", ".join(quoted(name) for name in present[:_MAX_TARGETS])
        raise Denied(
            f"annotation {keys.CONTAINERS} names {quoted(missing[0])}, which is not a container of the pod; "
            f"its containers are {names}"
        )
    return wanted


def _kserve_targets(present: list[str]) -> tuple[str, ...]:
    server = next((name for name in SERVER_CONTAINERS if name in present), None)
    if server is None:
        raise Denied(
            f"the pod belongs to an InferenceService but has no container named {SERVER_CONTAINERS[0]} or "
            f"{SERVER_CONTAINERS[1]}: name the containers that get the model in annotation {keys.CONTAINERS}"
        )
    return (server, TRANSFORMER_CONTAINER) if TRANSFORMER_CONTAINER in present else (server,)


def _without_modelcars(pod: Mapping[str, Any], images: list[oci.Image]) -> list[str]:
    """The pod's containers without modelcars that an earlier call of the webhook added."""
    number = sum(image.mode == "modelcar" for image in images)
    modelcars = {oci.numbered(oci.MODELCAR, index) for index in range(number)}
    return [name for name in container_names(pod) if name not in modelcars]
