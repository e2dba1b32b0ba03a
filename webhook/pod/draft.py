"""Copy-on-write edits of a JSON object."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]


class Draft:
    """An object being edited. A part is copied before it is written; the other parts are shared with the original.

    `root` is the edited object. The diff skips shared parts.
    """

    def __init__(self, original: JsonObject) -> None:
        self.root: JsonObject = dict(original)
        # Holds a reference to every copy, so that no id is reused.
        self._copies: dict[int, Any] = {id(self.root): self.root}

    def own(self, value: JsonObject) -> JsonObject:
        """Make an object editable without a copy. The caller must not modify it afterwards."""
        self._copies[id(value)] = value
        return value

    def edit_object(self, parent: Any, key: str | int) -> JsonObject:
        """The editable object at `key` of an editable parent; created when it is missing or null."""
        found: JsonObject = self._edit(parent, key, {})
        return found

    def edit_list(self, parent: Any, key: str) -> list[Any]:
        """The editable list at `key` of an editable parent; created when it is missing or null."""
        found: list[Any] = self._edit(parent, key, [])
        return found

    def edit_path(self, *keys: str) -> JsonObject:
        """The editable object at a path from the root; created when it is missing or null."""
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
