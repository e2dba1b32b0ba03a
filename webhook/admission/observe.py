"""Observe mode: the differences between a received pod and the pod that enforce mode would make. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from webhook import quantity
from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, find

_CONTAINERS = ("initContainers", "containers")
# The ServiceAccount admission plugin mounts a token at this path in every container.
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105


class Comparison(NamedTuple):
    """How a received pod compares with the expected pod. `fields` has names of fields of the spec, never values."""

    result: Literal["injected", "differs", "unchanged"]
    """`injected`: enforce mode would inject it; `differs`: it is injected differently; `unchanged`: no difference."""
    fields: tuple[str, ...]


def without_injection(pod: JsonObject) -> JsonObject:
    """The pod without its storage initializer and the volumes that this one fills; the same pod when it has none."""
    spec = pod["spec"]
    initializer = find(spec.get("initContainers"), INIT_CONTAINER_NAME)
    if initializer is None:
        return pod
    volumes = set(_volumes_filled_by(initializer, spec))
    kept = dict(spec)
    kept["volumes"] = [volume for volume in spec.get("volumes") or () if volume["name"] not in volumes]
    for field in _CONTAINERS:
        kept[field] = [_without_mounts(volumes, each) for each in spec.get(field) or () if each is not initializer]
    return {**pod, "spec": kept}


def _volumes_filled_by(initializer: JsonObject, spec: JsonObject) -> Iterator[str]:
    for mount in initializer.get("volumeMounts") or ():
        volume = find(spec.get("volumes"), mount["name"])
        if volume is not None and ("emptyDir" in volume or "ephemeral" in volume) and not mount.get("readOnly"):
            yield mount["name"]


def _without_mounts(volumes: set[str], container: JsonObject) -> JsonObject:
    mounts = container.get("volumeMounts") or ()
    kept = [mount for mount in mounts if mount["name"] not in volumes]
    return {**container, "volumeMounts": kept} if len(kept) < len(mounts) else container


def compare(received: JsonObject, expected: JsonObject) -> Comparison:
    """Compare a received pod with the expected one; defaults of the API server are no differences."""
    actual_spec, expected_spec = received["spec"], expected["spec"]
    fields = set(_different_fields(actual_spec, expected_spec))
    if not fields:
        return Comparison("unchanged", ())
    has_initializer = find(actual_spec.get("initContainers"), INIT_CONTAINER_NAME) is not None
    is_injected = has_initializer or fields.isdisjoint(("initContainers", "containers", "volumes"))
    return Comparison("differs" if is_injected else "injected", tuple(sorted(fields)))


def _different_fields(actual: JsonObject, expected: JsonObject) -> Iterator[str]:
    for field, value in expected.items():
        if field in _CONTAINERS:
            yield from _different_container_fields(field, actual.get(field), value)
        elif field == "volumes":
            if not _names(value) <= _names(actual.get(field)):
                yield field
        elif value != actual.get(field):
            yield field
    if _sidecars_before(actual) != _sidecars_before(expected):
        yield "initContainers.order"


def _different_container_fields(field: str, actual: Any, expected: Any) -> Iterator[str]:
    for container in expected or ():
        other = find(actual, container["name"])
        if other is None:
            yield field
        elif other is not container:
            exact = container["name"] == INIT_CONTAINER_NAME
            for key in container.keys() | {"env", "volumeMounts", "securityContext"}:
                if not _is_same(key, other.get(key), container.get(key), exact=exact):
                    yield f"{field}.{key}"


def _is_same(key: str, actual: Any, expected: Any, *, exact: bool) -> bool:
    """Whether a field of a container is as expected; without `exact`, it may have more mounts and variables."""
    if key == "volumeMounts":
        return _includes(_mounts(actual), _mounts(expected), exact=exact)
    if key == "env":
        return _includes(_by_name(actual), _by_name(expected), exact=exact)
    if key == "resources":
        return all(_amounts(actual, kind) == _amounts(expected, kind) for kind in ("requests", "limits"))
    if key == "securityContext":
        return (actual or {}) == (expected or {})
    return _contains(actual, expected)


def _includes(actual: Mapping[str, Any], expected: Mapping[str, Any], *, exact: bool) -> bool:
    if exact and actual.keys() != expected.keys():
        return False
    return all(name in actual and _contains(actual[name], value) for name, value in expected.items())


def _contains(actual: Any, expected: Any) -> bool:
    """Whether `actual` contains all of `expected`; it may have more fields, which the API server defaults."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return all(key in actual and _contains(actual[key], value) for key, value in expected.items())
    return bool(actual == expected)


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
    """The native sidecars that start before the storage initializer; none when there is no initializer."""
    sidecars: list[str] = []
    for container in spec.get("initContainers") or ():
        if container["name"] == INIT_CONTAINER_NAME:
            return sidecars
        if container.get("restartPolicy") == "Always":
            sidecars.append(container["name"])
    return []
