"""The settings in a text: a ConfigMap manifest, or the bare keys."""

from __future__ import annotations

from typing import Any

from webhook import yaml_text
from webhook.settings.parse import KEYS


def data_of(text: str) -> dict[str, Any]:
    """What a ConfigMap's `data` would hold.

    The text is JSON or YAML: one or more manifests with one ConfigMap of settings among them, or the keys
    themselves at the top, whose values are objects or texts. Raises ValueError, saying what is wrong, when it is
    neither. Which keys there are, and whether they are right, is for `parse` to say.
    """
    documents = yaml_text.load(text)
    if not documents:
        raise ValueError("there is nothing in it")
    if len(documents) == 1 and not _kind(documents[0]):
        return _bare(documents[0])
    return _one_config_map([item for document in documents for item in _items(document)])


def _kind(document: Any) -> Any:
    return document.get("kind") if isinstance(document, dict) else None


def _bare(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"neither a ConfigMap nor an object with the keys {', '.join(KEYS)}")
    return document


def _items(document: Any) -> list[Any]:
    """The items of a List; any other document as it is."""
    items = document.get("items") if isinstance(document, dict) else None
    return items if isinstance(items, list) else [document]


def _one_config_map(documents: list[Any]) -> dict[str, Any]:
    """The only ConfigMap, or among several the only one that holds settings."""
    found = [document for document in documents if _kind(document) == "ConfigMap"]
    if len(found) > 1:
        found = [document for document in found if any(key in _data(document) for key in KEYS)]
    if not found:
        kinds = sorted({str(_kind(document)) for document in documents})
        raise ValueError(f"there is no ConfigMap with settings in it, only {', '.join(kinds)}")
    if len(found) > 1:
        raise ValueError(f"{len(found)} ConfigMaps hold settings: leave one")
    return _data(found[0])


def _data(config_map: dict[str, Any]) -> dict[str, Any]:
    data = config_map.get("data") or {}
    if not isinstance(data, dict):
        raise ValueError("the ConfigMap's data must be an object")
    for key in KEYS:
        if not isinstance(data.get(key, ""), str):
            raise ValueError(f"the ConfigMap's data.{key} must be a text: write `{key}: |` and the value below it")
    return data
