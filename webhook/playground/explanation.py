"""The annotations and labels of an object that mean something to the webhook, with their contracts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from webhook import annotations as keys


class Explanation(BaseModel):
    """An annotation or label of an object, and its entry in docs/reference.md."""

    key: str
    value: str
    meaning: str
    values: str


def explain(*objects: Any) -> list[Explanation]:
    """Explain the annotations and labels of objects, in the order of the reference. Never raises."""
    found: dict[str, str] = {}
    for each in objects:
        for field in ("labels", "annotations"):
            found |= _texts(each, field)
    return [
        Explanation(key=key, value=found[key], meaning=key.meaning, values=key.values)
        for key in keys.ALL
        if key in found
    ]


def _texts(holder: Any, field: str) -> dict[str, str]:
    """The annotations or labels of an object; empty for malformed ones."""
    metadata = holder.get("metadata") if isinstance(holder, dict) else None
    texts = metadata.get(field) if isinstance(metadata, dict) else None
    if not isinstance(texts, dict):
        return {}
    return {key: text for key, text in texts.items() if isinstance(key, str) and isinstance(text, str)}
