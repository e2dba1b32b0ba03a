"""Copy-on-write edits of a JSON object."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]


class Draft:
    """An object being edited: what is written is copied first, what is not stays the very object of the original.

    `root` is the edited object. Because untouched parts keep their identity, the diff skips them at once.
    """

    def __init__(self, original: JsonObject) -> None:
        self.root: JsonObject = dict(original)
        # Keeps every copy alive, so that no id is ever used twice.
        self._copies: dict[int, Any] = {id(self.root): self.root}

    def own(self, made: JsonObject) -> JsonObject:
        """Take an object that nobody else writes as it is, to write."""
        self._copies[id(made)] = made
        return made

    def edit_object(self, parent: Any, key: str | int) -> JsonObject:
        """The object at `key` of an editable parent, to write; made when it is missing or null."""
        found: JsonObject = self._edit(parent, key, {})
        return found

    def edit_list(self, parent: Any, key: str) -> list[Any]:
        """The list at `key` of an editable parent, to write; made when it is missing or null."""
        found: list[Any] = self._edit(parent, key, [])
        return found

    def edit_path(self, *keys: str) -> JsonObject:
        """The object at a path from the root, to write; made where it is missing or null."""
        found = self.root
        for key in keys:
            found = self.edit_object(found, key)
        return found

    def _edit(self, parent: Any, key: str | int, empty: Any) -> Any:
        value = parent.get(key) if isinstance(parent, dict) else parent[key]
        if id(value) in self._copies:
            return value
        copy = empty if value is None else value.copy()
        parent[key] = self._copies[id(copy)] = copy
        return copy
