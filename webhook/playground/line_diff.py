"""The difference between two texts by lines, with a limit for its work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

MAX_COMPARISONS = 10_000_000
"""The maximum number of pairs of lines that are compared in one request: some seconds in the worst case."""


class Change(NamedTuple):
    """Lines `old_start` to `old_end` of the old text become lines `new_start` to `new_end` of the new one.

    The first line is 0, and the end is exclusive, as in slices.
    """

    old_start: int
    old_end: int
    new_start: int
    new_end: int


class LineDiffer:
    """Compares texts until its comparisons are used up. After that, a change is one block of lines."""

    def __init__(self, comparisons: int = MAX_COMPARISONS) -> None:
        self._comparisons = comparisons

    def changes(self, old: Sequence[str], new: Sequence[str]) -> list[Change]:
        """The changes that turn `old` into `new`, from top to bottom; empty when they are equal."""
        if old == new:
            return []
        start = _common_prefix(old, new)
        end = _common_prefix(old[start:][::-1], new[start:][::-1])
        middle = Change(start, len(old) - end, start, len(new) - end)
        size = (middle.old_end - start) * (middle.new_end - start)
        if size > self._comparisons:
            return [middle]
        self._comparisons -= size
        return list(_changes(old[start : middle.old_end], new[start : middle.new_end], start))


def _common_prefix(old: Sequence[str], new: Sequence[str]) -> int:
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            return index
    return min(len(old), len(new))


def _changes(old: Sequence[str], new: Sequence[str], offset: int) -> Iterator[Change]:
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, *ends in matcher.get_opcodes():
        if tag != "equal":
            yield Change(*(end + offset for end in ends))
