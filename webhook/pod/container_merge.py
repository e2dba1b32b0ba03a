"""Merge of two containers, as in a strategic merge patch.

As in k8s.io/apimachinery `strategicpatch` with the patch keys of core/v1: objects are merged by field, and lists in
`_MERGE_KEYS` by key. Other lists and values are replaced. Empty values in the patch are ignored, as in KServe, which
merges typed containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.pod.pod import JsonObject

_MERGE_KEYS = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort", "volumeDevices": "devicePath"}


def merge_container(base: Mapping[str, Any], patch: Mapping[str, Any]) -> JsonObject:
    """Merge `patch` into a copy of `base`. A variable of the patch replaces the value or source of the base's."""
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
    """The items of the base in order, merged with items of the same key, followed by new items."""
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
