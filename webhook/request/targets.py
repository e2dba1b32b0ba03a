"""The targets of a request: the containers and init containers that get the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.pod.pod import INIT_CONTAINER_NAME, container_names, find
from webhook.request import oci
from webhook.request.injected import targets_with_model
from webhook.request.model_request import Source

SERVER_CONTAINERS = ("kserve-container", "worker-container")
TRANSFORMER_CONTAINER = "transformer-container"

PROXIES = frozenset(
    "istio-proxy linkerd-proxy kuma-sidecar daprd vault-agent queue-proxy kube-rbac-proxy cloud-sql-proxy".split()
)
"""Names of sidecars that other webhooks add. They never get the model by default."""

_MAX_TARGETS = 20
# Names of containers have at most 63 characters (Kubernetes: DNS label). The rest is for white space.
_MAX_NAMES = 100 * _MAX_TARGETS


class Targets(NamedTuple):
    """Names of the containers that get the model, and warnings about the choice."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    by_default: bool = False
    """Neither an annotation nor KServe names them, and the pod does not have the model yet."""


def read_targets(
    pod: Mapping[str, Any],
    sources: tuple[Source, ...],
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    direct: bool,
) -> Targets:
    """The target containers. Raises Denied when there are none. `direct`: claims are mounted, not copied."""
    present = _without_modelcars(pod, [source.image for source in sources if source.image])
    if keys.CONTAINERS in annotations:
        return Targets(_named_targets(pod, annotations[keys.CONTAINERS], present))
    if keys.INFERENCE_SERVICE in labels:
        return Targets(_kserve_targets(present))
    if not present:
        raise Denied("the pod has no containers, so no container can get the model")
    if names := targets_with_model(pod, sources, direct=direct):
        return Targets(names[:_MAX_TARGETS])
    return _default_target(pod, present, annotations)


def init_targets(pod: Mapping[str, Any], annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The init containers that get the model, in the order of the pod: those that the pod's annotation names."""
    text = annotations.get(keys.CONTAINERS)
    if text is None:
        return ()
    wanted = _split(text)
    return tuple(name for name in _init_container_names(pod) if name in wanted)


def _init_container_names(pod: Mapping[str, Any]) -> list[str]:
    """The pod's init containers, without the storage initializer of an earlier call."""
    containers = pod["spec"].get("initContainers") or ()
    return [each["name"] for each in containers if each["name"] != INIT_CONTAINER_NAME]


def _default_target(pod: Mapping[str, Any], present: list[str], annotations: Mapping[str, str]) -> Targets:
    """The default container of the pod, or its first container that is not a proxy."""
    candidates = [name for name in present if name not in PROXIES] or present
    default = annotations.get(keys.DEFAULT_CONTAINER)
    if default in candidates:
        return Targets((default,), by_default=True)
    first = candidates[0]
    if default is not None and default not in present:
        warning = (
            f"annotation {keys.DEFAULT_CONTAINER} {quoted(default)} {_why_no_default(pod, default)}: "
            f"container {quoted(first)} gets the model; choose another with annotation {keys.CONTAINERS}"
        )
    elif present[0] != first or _several_serve(pod, candidates):
        warning = f"container {quoted(first)} gets the model; choose others with annotation {keys.CONTAINERS}"
    else:
        return Targets((first,), by_default=True)
    return Targets((first,), (warning,), by_default=True)


def _several_serve(pod: Mapping[str, Any], candidates: list[str]) -> bool:
    """Whether more than one of the containers declares ports."""
    containers = (container for container in pod["spec"]["containers"] if container["name"] in candidates)
    return sum(bool(container.get("ports")) for container in containers) > 1


def _named_targets(pod: Mapping[str, Any], text: str, present: list[str]) -> tuple[str, ...]:
    if len(text) > _MAX_NAMES:
        raise Denied(f"annotation {keys.CONTAINERS} is {len(text)} characters long: the maximum is {_MAX_NAMES}")
    wanted = tuple(_split(text))
    if not wanted:
        raise Denied(f"annotation {keys.CONTAINERS} is empty: set it to names of containers of the pod, or remove it")
    if len(wanted) > _MAX_TARGETS:
        raise Denied(f"annotation {keys.CONTAINERS} names {len(wanted)} containers: the maximum is {_MAX_TARGETS}")
    possible = {*present, *_init_container_names(pod)}
    missing = [name for name in wanted if name not in possible]
    if missing:
        names = ", ".join(quoted(name) for name in present[:_MAX_TARGETS])
        raise Denied(
            f"annotation {keys.CONTAINERS} names {quoted(missing[0])}, which is not a container of the pod; "
            f"its containers are {names}"
        )
    return wanted


def _split(text: str) -> dict[str, None]:
    """The names in the annotation, in order and without repetitions."""
    return dict.fromkeys(name.strip() for name in text.split(",") if name.strip())


def _why_no_default(pod: Mapping[str, Any], name: str) -> str:
    if find(pod["spec"].get("initContainers"), name):
        return "is an init container"
    return "is not a container of the pod"


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
