"""Who set a field of a Deployment: its author, or this webhook.

The author's values always win. The API server fills in defaults before any webhook sees the object, so a default counts
as unset, unless server-side apply shows an owner (Kubernetes: metadata.managedFields; other operations also own
defaulted fields, so their entries prove nothing). An annotation records what the webhook set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.pod.draft import Draft, JsonObject
from webhook.pod.pod import metadata_list


class FieldOwnership:
    """Tells fields that the author set from fields that are unset, and records those that the webhook sets."""

    def __init__(self, deployment: JsonObject, annotations: Mapping[str, str]) -> None:
        self._applied_specs = [
            (entry.get("fieldsV1") or {}).get("f:spec") or {}
            for entry in metadata_list(deployment, "managedFields")
            if entry.get("operation") == "Apply" and not entry.get("subresource")
        ]
        self._recorded = _recorded(annotations)
        self._set: dict[str, Any] = {}

    def is_unset(self, field: str, current: Any, is_default: bool, *parents: str) -> bool:
        """Whether the author left the field unset; `parents` is its path below `spec`."""
        if any(_contains(fields, (*parents, field)) for fields in self._applied_specs):
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


def _recorded(annotations: Mapping[str, str]) -> dict[str, Any]:
    try:
        recorded = json.loads(annotations.get(keys.ROLLOUT_APPLIED, "{}"))
    except (ValueError, RecursionError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _contains(fields: Any, path: tuple[str, ...]) -> bool:
    """Whether a managedFields tree (Kubernetes: FieldsV1) contains this path."""
    for key in path:
        if not isinstance(fields, dict) or f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True
