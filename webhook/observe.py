"""Observe mode: where a pod that arrives differs from the pod that would be made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from webhook import quantity
from webhook.pod import INIT_CONTAINER_NAME, JsonObject, find

_CONTAINERS = ("initContainers", "containers")
# The API server mounts it into every container (Kubernetes: ServiceAccount admission).
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105


class Comparison(NamedTuple):
    """How a pod arrived, and where it is not as it would be made: fields of its spec, never what stands in them."""

    arrival: Literal["injected", "differs", "unchanged"]
    """`injected`: it came without its model; `differs`: with another than would be made; `unchanged`: with that."""
    places: tuple[str, ...]


def bare(pod: JsonObject) -> JsonObject:
    """The pod without its storage initializer and the volumes that only this one filled; itself when it has none."""
    spec = pod["spec"]
    initializer = find(spec.get("initContainers"), INIT_CONTAINER_NAME)
    if initializer is None:
        return pod
    filled = set(_filled(initializer, spec))
    kept = dict(spec)
    kept["volumes"] = [volume for volume in spec.get("volumes") or () if volume["name"] not in filled]
    for field in _CONTAINERS:
        kept[field] = [_without(filled, each) for each in spec.get(field) or () if each is not initializer]
    return {**pod, "spec": kept}


def _filled(initializer: JsonObject, spec: JsonObject) -> Iterator[str]:
    for mounted in initializer.get("volumeMounts") or ():
        volume = find(spec.get("volumes"), mounted["name"])
        if volume is not None and "emptyDir" in volume and not mounted.get("readOnly"):
            yield mounted["name"]


def _without(volumes: set[str], container: JsonObject) -> JsonObject:
    mounts = container.get("volumeMounts") or ()
    kept = [mounted for mounted in mounts if mounted["name"] not in volumes]
    return {**container, "volumeMounts": kept} if len(kept) < len(mounts) else container


def compare(arrived: JsonObject, made: JsonObject) -> Comparison:
    """How `arrived` relates to `made`, what would be made of it, past the API server's defaults."""
    theirs, ours = arrived["spec"], made["spec"]
    places = set(_places(theirs, ours))
    if not places:
        return Comparison("unchanged", ())
    without = find(theirs.get("initContainers"), INIT_CONTAINER_NAME) is None
    is_bare = without and not places.isdisjoint(("initContainers", "containers", "volumes"))
    return Comparison("injected" if is_bare else "differs", tuple(sorted(places)))


def _places(theirs: JsonObject, ours: JsonObject) -> Iterator[str]:
    for field, value in ours.items():
        if field in _CONTAINERS:
            yield from _in_containers(field, theirs.get(field), value)
        elif field == "volumes":
            if not _names(value) <= _names(theirs.get(field)):
                yield field
        elif value != theirs.get(field):
            yield field
    if _sidecars_before(theirs) != _sidecars_before(ours):
        yield "initContainers.order"


def _in_containers(field: str, theirs: Any, ours: Any) -> Iterator[str]:
    for wanted in ours or ():
        there = find(theirs, wanted["name"])
        if there is None:
            yield field
        elif there is not wanted:
            whole = wanted["name"] == INIT_CONTAINER_NAME
            for key in wanted.keys() | {"env", "volumeMounts", "securityContext"}:
                if not _is_same(key, there.get(key), wanted.get(key), whole=whole):
                    yield f"{field}.{key}"


def _is_same(key: str, theirs: Any, ours: Any, *, whole: bool) -> bool:
    """Whether a container's field is as it would be made; `whole`: nothing beside that is in it either."""
    if key == "volumeMounts":
        return _covers(_mounts(theirs), _mounts(ours), whole=whole)
    if key == "env":
        return _covers(_by_name(theirs), _by_name(ours), whole=whole)
    if key == "resources":
        return all(_amounts(theirs, kind) == _amounts(ours, kind) for kind in ("requests", "limits"))
    if key == "securityContext":
        return (theirs or {}) == (ours or {})
    return _holds(theirs, ours)


def _covers(theirs: Mapping[str, Any], ours: Mapping[str, Any], *, whole: bool) -> bool:
    if whole and theirs.keys() != ours.keys():
        return False
    return all(name in theirs and _holds(theirs[name], value) for name, value in ours.items())


def _holds(theirs: Any, ours: Any) -> bool:
    """Whether all of `ours` is in `theirs`, which may have more where the API server fills in defaults."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(key in theirs and _holds(theirs[key], value) for key, value in ours.items())
    return bool(theirs == ours)


def _mounts(items: Iterable[JsonObject] | None) -> dict[str, Any]:
    return {
        str(item.get("mountPath")): (item["name"], item.get("subPath") or "", bool(item.get("readOnly")))
        for item in items or ()
        if item.get("mountPath") != _TOKEN_PATH
    }


def _by_name(items: Iterable[JsonObject] | None) -> dict[str, JsonObject]:
    return {item["name"]: item for item in items or ()}


def _names(items: Iterable[JsonObject] | None) -> set[str]:
    return {item["name"] for item in items or ()}


def _amounts(resources: Any, kind: str) -> dict[str, Any]:
    found = resources.get(kind) if isinstance(resources, dict) else None
    return {name: _amount(amount) for name, amount in found.items()} if isinstance(found, dict) else {}


def _amount(amount: Any) -> Any:
    try:
        return quantity.parse(str(amount))
    except ValueError:
        return amount


def _sidecars_before(spec: JsonObject) -> list[str]:
    """The native sidecars that run when the storage initializer starts; none when there is no initializer."""
    sidecars: list[str] = []
    for container in spec.get("initContainers") or ():
        if container["name"] == INIT_CONTAINER_NAME:
            return sidecars
        if container.get("restartPolicy") == "Always":
            sidecars.append(container["name"])
    return []
