"""Holds facts, bounded in number and in bytes. What nobody can use any more is removed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from webhook.cluster.kinds import Key

_ENTRY_BYTES = 500
"""About what an entry costs besides its fact: the entry itself, and its places in the key and in the dict."""


class Entry(NamedTuple):
    """What is known of an object. All times are monotonic seconds."""

    value: Any
    """The fact; None when the object does not exist."""
    size: int
    """The memory that the fact takes, in bytes; see `size_of`."""
    read_at: float
    """When the last read began."""
    expires: float
    """When the object must be read again."""
    confirmed_at: float
    """When the read that returned the value began. Earlier than `read_at` if later reads failed."""
    useless_at: float
    """When the entry can be removed: nobody may use it from then on, not even during an outage."""


class FactStore:
    """Entries by key. The oldest make room for new ones.

    Those of found objects do first: those of missing objects are small and useless soon, and are used at once.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.size = 0
        """The memory that all entries take, in bytes, approximately."""
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        # In the order in which they were put. In each, entries become useless in about the same order.
        self._found: dict[Key[Any], Entry] = {}
        self._missing: dict[Key[Any], Entry] = {}

    def __len__(self) -> int:
        return len(self._found) + len(self._missing)

    def get(self, key: Key[Any]) -> Entry | None:
        """The entry of an object; None when there is none. It may have expired."""
        return self._found.get(key) or self._missing.get(key)

    def put(self, key: Key[Any], entry: Entry, now: float) -> None:
        """Add or replace an entry. Others are removed when they are useless, or to keep the bounds."""
        self._remove(key)
        for entries in (self._missing, self._found):
            while (oldest := next(iter(entries), None)) and entries[oldest].useless_at <= now:
                self._remove(oldest)
        added = _bytes(key, entry)
        while len(self) and (len(self) >= self._max_entries or self.size + added > self._max_bytes):
            self._remove(next(iter(self._found or self._missing)))
        (self._missing if entry.value is None else self._found)[key] = entry
        self.size += added

    def _remove(self, key: Key[Any]) -> None:
        entry = self._found.pop(key, None) or self._missing.pop(key, None)
        if entry is not None:
            self.size -= _bytes(key, entry)


def _bytes(key: Key[Any], entry: Entry) -> int:
    return _ENTRY_BYTES + len(key.namespace) + len(key.name) + sum(map(len, key.data_keys)) + entry.size


def size_of(fact: object) -> int:
    """The memory that a fact takes, in bytes. Values that it shares with others count each time."""
    size, rest = 0, [fact]
    while rest:
        each = rest.pop()
        size += sys.getsizeof(each)
        if isinstance(each, Mapping):
            rest.extend(each)
            rest.extend(each.values())
        elif isinstance(each, tuple | list | frozenset):
            rest.extend(each)
    return size
