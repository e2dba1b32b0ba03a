"""Verification of the models in a cache: their records, sizes and digests.

A damaged model is moved away, so that the next pod downloads it again. One that a pod mounts stays: a restarted
container would find an empty directory in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from webhook.download.program import cache as program
from webhook.download.program.digest import digests
from webhook.download.program.process import Failed
from webhook.download.store import Entry, OnProgress, State, lock, move_to_trash, opened, scan


class Verdict(StrEnum):
    """What is known of a model after the verification."""

    INTACT = "intact"
    """Its files and sizes are those of its record, and so is its digest."""
    UNPROVEN = "unproven"
    """Its files and sizes are those of its record, which has no digest."""
    WRITING = "writing"
    MOVED = "moved away"
    """It was damaged."""
    DAMAGED = "damaged"
    """It is still in its place."""
    UNREADABLE = "unreadable"


REMAINING = frozenset({Verdict.DAMAGED, Verdict.UNREADABLE})
"""The verdicts about what somebody must look after."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A model, and what is known of it."""

    key: str
    verdict: Verdict
    reason: str = ""
    bytes: int = 0
    uri: str = ""


def verify(
    directory: Path, mounted: frozenset[str], on_progress: OnProgress, *, repair: bool = True
) -> Iterator[Finding]:
    """Verify all models in the directory; each is read once, if its record has a digest. Downloads are left alone.

    `mounted` are the keys that pods mount. Without `repair`, nothing is moved. Raises OSError when the directory cannot
    be read, NotADirectoryError when the path leads through a link.
    """
    for entry in scan(directory, lambda count: None):
        if entry.state == State.INCOMPLETE:
            continue
        with opened(directory) as folder:
            yield _verified(program.Cache(folder, entry.key), entry, mounted, repair=repair)
        on_progress(entry.bytes)


def _verified(cache: program.Cache, entry: Entry, mounted: frozenset[str], *, repair: bool) -> Finding:
    record = _inode(cache.record)
    verdict, reason = _examined(cache, entry)
    if verdict == Verdict.DAMAGED and repair:
        verdict, reason = _repaired(cache, entry.key in mounted, reason, record)
    return Finding(entry.key, verdict, reason, entry.bytes, entry.uri)


def _examined(cache: program.Cache, entry: Entry) -> tuple[Verdict, str]:
    if entry.state == State.WRITING:
        return Verdict.WRITING, f"by {entry.holder}"
    if entry.state == State.UNREADABLE:
        return Verdict.UNREADABLE, f"no permission to read {entry.unreadable}"
    record = program.complete_record(cache)
    if record is None:
        return Verdict.DAMAGED, "its files or sizes are not those of its record"
    wanted = record.get("sha256")
    if not wanted:
        return Verdict.UNPROVEN, "its record has no digest"
    try:
        found = digests(str(cache.model))
    except (Failed, OSError) as error:
        return Verdict.DAMAGED, str(error).replace(f"{cache.directory}/", "")
    intact = wanted in found
    return (Verdict.INTACT, "") if intact else (Verdict.DAMAGED, f"its SHA-256 is {found[0]}, not that of its record")


def _inode(path: Path) -> int | None:
    with suppress(OSError):
        return path.lstat().st_ino
    return None


def _repaired(cache: program.Cache, is_mounted: bool, reason: str, record: int | None) -> tuple[Verdict, str]:
    """Move the model away, unless it is in use. `record` is the inode of the record that was examined."""
    if is_mounted:
        return Verdict.DAMAGED, f"{reason}; left in place, because a pod mounts it: delete the pod, and verify again"
    try:
        with lock(cache) as free:
            if not free or _inode(cache.record) != record:
                return Verdict.WRITING, "a pod has just begun to download it again"
            moved = [move_to_trash(cache, path).name for path in (cache.model, cache.record)]
    except OSError as error:
        return Verdict.DAMAGED, f"{reason}; it cannot be moved away: {error.strerror}"
    return Verdict.MOVED, f"{reason}; moved to {moved[0]}, which the next prune, or pod that needs it, deletes"
