"""Extraction of settings from a ConfigMap manifest, or from a document that contains only settings."""

from __future__ import annotations

from typing import Any

from webhook import yaml_loader
from webhook.settings.parse import KEYS


def extract_data(text: str, max_values: int = yaml_loader.MAX_VALUES) -> dict[str, Any]:
    """Return the `data` of the ConfigMap in a JSON or YAML text.

    The text contains one or more manifests, one of them a ConfigMap with settings, or a single document with the
    settings keys at the top level, whose values are objects or strings. Raises ValueError, with the reason, when it
    is neither, or is YAML with more than `max_values` values. `parse` validates keys and values.
    """
    documents = yaml_loader.load(text, max_values)
    if not documents:
        raise ValueError("is empty")
    if len(documents) == 1 and not _kind(documents[0]):
        return _settings_document(documents[0])
    return _one_config_map([item for document in documents for item in _items(document)])


def _kind(document: Any) -> Any:
    return document.get("kind") if isinstance(document, dict) else None


def _settings_document(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"must be a ConfigMap, or an object with some of the keys {', '.join(KEYS)}")
    return document


def _items(document: Any) -> list[Any]:
    """The items of a List, or the document itself."""
    items = document.get("items") if isinstance(document, dict) else None
    return items if isinstance(items, list) else [document]


def _one_config_map(documents: list[Any]) -> dict[str, Any]:
    """The data of the only ConfigMap, or of the only ConfigMap with settings."""
    found = [document for document in documents if _kind(document) == "ConfigMap"]
    if len(found) > 1:
        found = [document for document in found if any(key in _data(document) for key in KEYS)]
    if not found:
        kinds = sorted({str(_kind(document)) for document in documents})
        raise ValueError(f"contains no ConfigMap with settings, only {', '.join(kinds)}")
    if len(found) > 1:
        raise ValueError(f"contains {len(found)} ConfigMaps with settings: keep one")
    return _data(found[0])


def _data(config_map: dict[str, Any]) -> dict[str, Any]:
    data = config_map.get("data") or {}
    if not isinstance(data, dict):
        raise ValueError("data of the ConfigMap must be an object")
    for key in KEYS:
        if not isinstance(data.get(key, ""), str):
            raise ValueError(f"data.{key} of the ConfigMap must be a string: write `{key}: |` and the value below it")
    return data
