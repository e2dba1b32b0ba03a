"""Who set a field of a Deployment: its author, or this webhook.

The author's values always win. The API server fills in defaults before any webhook sees the object, so a default counts
as unset, unless one of these shows that the author wrote it:

- server-side apply: metadata.managedFields has an owner of the field. Other operations also own defaulted fields, so
  their entries prove nothing.
- client-side apply (`kubectl apply`, Argo CD): the annotation with the applied manifest has the same value.

Another annotation records what the webhook set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.pod.draft import Draft, JsonObject
from webhook.pod.pod import metadata_list, metadata_map

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ANNOTATIONS = 256 * 1024
"""The size of all annotations of an object (Kubernetes: ObjectMeta)."""


class FieldOwnership:
    """Tells fields that the author set from fields that are unset, and records those that the webhook sets."""

    def __init__(self, deployment: JsonObject, annotations: Mapping[str, str]) -> None:
        self._applied_specs = [
            (entry.get("fieldsV1") or {}).get("f:spec") or {}
            for entry in metadata_list(deployment, "managedFields")
            if entry.get("operation") == "Apply" and not entry.get("subresource")
        ]
        self._client_applied = _parse_object(metadata_map(deployment, "annotations").get(LAST_APPLIED)).get("spec")
        self._recorded = _parse_object(annotations.get(keys.ROLLOUT_APPLIED))
        self._set: dict[str, Any] = {}

    def is_unset(self, field: str, current: Any, is_default: bool, *parents: str) -> bool:
        """Whether the author left the field unset; `parents` is its path below `spec`."""
        path = (*parents, field)
        if any(_contains(fields, path) for fields in self._applied_specs):
            return False
        if _confirms(_value_at(self._client_applied, path), current):
            return False
        return is_default or (field in self._recorded and self._recorded[field] == current)

    def set(self, field: str, value: Any) -> None:
        """Note that the webhook sets this field."""
        self._set[field] = value

    def keep(self, fields: frozenset[str], current: Mapping[str, Any]) -> None:
        """Note the fields that the webhook set earlier and that still have the same value."""
        self._set |= {
            field: self._recorded[field]
            for field in fields & self._recorded.keys()
            if current.get(field) == self._recorded[field]
        }

    def record(self, draft: Draft) -> None:
        """Write the record into the Deployment's annotations: on the next update these fields count as unset."""
        metadata = draft.root.get("metadata") or {}
        text = json.dumps(self._set, sort_keys=True, separators=(",", ":"))
        recorded = (metadata.get("annotations") or {}).get(keys.ROLLOUT_APPLIED)
        if self._set and recorded != text:
            draft.edit_path("metadata", "annotations")[str(keys.ROLLOUT_APPLIED)] = text
        elif not self._set and recorded is not None:
            del draft.edit_path("metadata", "annotations")[keys.ROLLOUT_APPLIED]


def _parse_object(text: str | None) -> dict[str, Any]:
    """The JSON object in an annotation; empty when there is none."""
    if text is None or len(text) > _MAX_ANNOTATIONS:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _value_at(found: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _confirms(applied: Any, current: Any) -> bool:
    """Whether an applied value is the current one, or a part of it, to which the API server added defaults."""
    if not isinstance(applied, dict):
        return applied is not None and bool(applied == current)
    values = {key: value for key, value in applied.items() if value not in (None, {})}
    return (
        bool(values)
        and isinstance(current, dict)
        and all(_confirms(value, current.get(key)) for key, value in values.items())
    )


def _contains(fields: Any, path: tuple[str, ...]) -> bool:
    """Whether a managedFields tree (Kubernetes: FieldsV1) contains this path."""
    for key in path:
        if not isinstance(fields, dict) or f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True
