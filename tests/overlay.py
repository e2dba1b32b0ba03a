"""Overlays: pods described by their differences from another pod."""

from __future__ import annotations

from typing import Any


def overlaid(below: Any, above: Any) -> Any:
    """Apply overlay `above` to `below`: merge objects by key and named lists by name; null removes, others replace.

    A list keeps the order of `below`, followed by new items, unless `above` has all items of `below`.
    """
    if isinstance(below, dict) and isinstance(above, dict):
        kept = {key: value for key, value in below.items() if key not in above}
        return kept | {key: overlaid(below.get(key), value) for key, value in above.items() if value is not None}
    if _is_named(below) and _is_named(above):
        return _overlaid_lists(_by_name(below), _by_name(above))
    return above


def _overlaid_lists(below: dict[str, Any], above: dict[str, Any]) -> list[Any]:
    order = above if above.keys() >= below.keys() else below | above
    return [overlaid(below.get(name), above.get(name, below.get(name))) for name in order]


def overlay(below: Any, above: Any) -> Any:
    """The overlay that turns `below` into `above`, two JSON values that are not equal."""
    if isinstance(below, dict) and isinstance(above, dict):
        changed = {key: overlay(below.get(key), value) for key, value in above.items() if below.get(key) != value}
        return changed | dict.fromkeys(below.keys() - above.keys())
    if _is_named(below) and _is_named(above) and _by_name(below).keys() <= _by_name(above).keys():
        return _overlay_of_lists(_by_name(below), _by_name(above))
    return above


def _overlay_of_lists(below: dict[str, Any], above: dict[str, Any]) -> list[Any]:
    moved = list(below | above) != list(above)
    return [
        {"name": name} | (overlay(below.get(name), item) if below.get(name) != item else {})
        for name, item in above.items()
        if moved or below.get(name) != item
    ]


def _is_named(items: Any) -> bool:
    """Whether this is a list of objects with unique names."""
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        return False
    return 0 < len(items) == len({item["name"] for item in items})


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {item["name"]: item for item in items}
