"""One container laid over another, as Kubernetes merges patches of containers.

Strategic merge (k8s.io/apimachinery `strategicpatch`, with core/v1's patch keys): objects are merged by field,
the lists below by key, other lists and values are replaced. What is empty in the patch leaves the base alone,
as it does when KServe merges its typed containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.pod import JsonObject

_MERGE_KEYS = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort", "volumeDevices": "devicePath"}


def merge_container(base: Mapping[str, Any], patch: Mapping[str, Any]) -> JsonObject:
    """`patch` over `base`; neither is modified. An environment variable keeps one source only: the patch's."""
    merged = dict(base)
    for field, value in patch.items():
        if _is_empty(value):
            continue
        if field == "env":
            merged[field] = _merge_by_key(base.get(field) or [], value, "name", _merge_variable)
        elif field in _MERGE_KEYS:
            merged[field] = _merge_by_key(base.get(field) or [], value, _MERGE_KEYS[field], _merge)
        else:
            merged[field] = _merge_value(base.get(field), value)
    return merged


def _merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> JsonObject:
    merged = dict(base)
    for field, value in patch.items():
        if not _is_empty(value):
            merged[field] = _merge_value(base.get(field), value)
    return merged


def _merge_value(base: Any, patch: Any) -> Any:
    return _merge(base, patch) if isinstance(base, dict) and isinstance(patch, dict) else patch


def _merge_by_key(base: list[JsonObject], patch: list[JsonObject], key: str, merge: Any) -> list[JsonObject]:
    """Items of the base in their places, merged with those of the same key; new ones behind."""
    merged = {item.get(key): item for item in base}
    for item in patch:
        name = item[key]
        merged[name] = merge(merged[name], item) if name in merged else item
    return list(merged.values())


def _merge_variable(base: JsonObject, patch: JsonObject) -> JsonObject:
    merged = _merge(base, patch)
    if not _is_empty(patch.get("valueFrom")):
        merged.pop("value", None)
        kind = next(iter(patch["valueFrom"]))
        merged["valueFrom"] = {kind: merged["valueFrom"][kind]}
    elif not _is_empty(patch.get("value")):
        merged.pop("valueFrom", None)
    return merged


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
