"""Scanning and pruning of a cache directory.

The layout of the directory, its locks and the definition of a complete model are in the docstring of `program`.
Whoever can write to the claim is not trusted: no link in it is followed, also none in the directory's own path.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from webhook.download import trees
from webhook.download.key import PATTERN
from webhook.download.program import cache as program

OnProgress = Callable[[int], None]
"""Called with the number of bytes that were measured or deleted since the last call."""

_NAMES = re.compile(rf"({PATTERN.pattern})|\.({PATTERN.pattern})\.(complete|[0-9a-f]+\.(tmp|trash))")
"""The names that belong to a key, except the lock, which is small and never removed."""


class State(StrEnum):
    """State of a key in the cache."""

    COMPLETE = "complete"
    WRITING = "writing"
    INCOMPLETE = "incomplete"
    """Only leftovers of an interrupted download or removal."""
    DAMAGED = "damaged"
    """A model without a record, or one that does not match it."""
    UNREADABLE = "unreadable"
    """A file or directory that this user may not read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key in the cache. Sizes in bytes, times in seconds since 1970."""

    key: str
    state: State
    bytes: int = 0
    """Size of the model."""
    leftover_bytes: int = 0
    """Size of everything else: a download in progress, or leftovers of one."""
    leftovers: int = 0
    """Number of these files and directories."""
    files: int = 0
    uri: str = ""
    downloaded: str = ""
    """Time of the download in UTC, as in the record."""
    last_used: float = 0
    """When a pod last requested the model."""
    holder: str = ""
    """The pod that is downloading."""
    unreadable: str = ""
    """The path that this user may not read."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for pruning. Durations in seconds, sizes in bytes."""

    unused_for: float | None = None
    """Remove models that no pod has requested for this long."""
    max_bytes: int | None = None
    """Remove the least recently used models until the cache is no larger than this."""
    grace: float = 86400
    """Keep models that were requested within this time, regardless of the other rules."""
    mounted: frozenset[str] = frozenset()
    """Keys of models to keep because pods mount them."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal and its reason: a model, or the leftovers of a key."""

    key: str
    is_model: bool
    bytes: int
    reason: str


def scan(directory: Path, on_progress: OnProgress) -> list[Entry]:
    """Read all keys in the directory, sorted.

    Raises OSError when the directory cannot be read, NotADirectoryError when the path leads through a link.
    """
    with opened(directory) as folder:
        found = (_NAMES.fullmatch(path.name) for path in folder.iterdir())
        keys = {match[1] or match[2] for match in found if match}
        return [_readable_entry(program.Cache(folder, key), on_progress) for key in sorted(keys)]


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Path]:
    """Open the directory, and yield a path to it that nobody can replace with a link. Errors have the original path."""
    path = directory.absolute()
    opened = trees.open_directory(Path(path.anchor), str(path.relative_to(path.anchor)))
    stable = f"/proc/self/fd/{opened}"
    try:
        yield Path(stable)
    except OSError as error:
        if error.filename is not None:
            error.filename = str(error.filename).replace(stable, str(directory), 1)
        raise
    finally:
        os.close(opened)


def _readable_entry(cache: program.Cache, on_progress: OnProgress) -> Entry:
    """The entry of a key. What one pod made unreadable must not hide the models of others."""
    try:
        return _entry(cache, on_progress)
    except PermissionError as error:
        path = os.path.relpath(error.filename or cache.model, cache.model.parent)
        return Entry(cache.key, State.UNREADABLE, unreadable=_printable(path))


def _entry(cache: program.Cache, on_progress: OnProgress) -> Entry:
    locked = is_locked(cache.lock)
    record = program.complete_record(cache)
    remains = leftovers(cache)
    leftover_bytes = sum(measure(path, on_progress) for path in remains)
    size = measure(cache.model, on_progress)
    state = _state(record is not None, locked, os.path.lexists(cache.model))
    record = record or {}
    return Entry(
        cache.key,
        state,
        size,
        leftover_bytes,
        len(remains),
        files=int(record.get("files", 0)),
        uri=_printable(record.get("uri", "")),
        downloaded=_printable(record.get("time", "")),
        last_used=last_used(cache),
        holder=program.holder(cache) if state == State.WRITING else "",
    )


def _printable(value: Any) -> str:
    """A text from a record, in one line of at most 1,024 characters."""
    return "".join(character if character.isprintable() else "?" for character in str(value)[:1024])


def _state(complete: bool, locked: bool, model_exists: bool) -> State:
    if complete:
        return State.COMPLETE
    if locked:
        return State.WRITING
    return State.DAMAGED if model_exists else State.INCOMPLETE


def leftovers(cache: program.Cache) -> list[Path]:
    """All files of a key except the model and its record. A record without a model is a leftover too."""
    interrupted = cache.directory.glob(f".{cache.key}.*.t*")
    stale = [cache.record] if os.path.lexists(cache.record) and not os.path.lexists(cache.model) else []
    return [*interrupted, *stale]


def measure(path: Path, on_progress: OnProgress) -> int:
    """Measure the bytes of a file or tree, which may change concurrently; 0 when it does not exist.

    What is too deep for a path does not count.
    """
    total = 0
    with _tolerant():
        for status in _statuses(path):
            total += status.st_size
            on_progress(status.st_size)
    return total


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """The status of a file, or of all files in a tree, without directories."""
    status = path.lstat()
    found = trees.walk(path) if stat.S_ISDIR(status.st_mode) else [(path, status)]
    return (each for _, each in found if not stat.S_ISDIR(each.st_mode))


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    """Ignore errors about paths that do not exist, or are not what a pod writes."""
    try:
        yield
    except OSError as error:
        if error.errno not in program.UNUSABLE:
            raise


def last_used(cache: program.Cache) -> float:
    """When a pod last requested the model. Without a record, when it was downloaded; without a model, 0.

    Opening the record makes an NFS client revalidate its cached attributes.
    """
    with _tolerant():
        file = program.open_file(cache.record, os.O_RDONLY)
        try:
            return os.fstat(file).st_mtime
        finally:
            os.close(file)
    with _tolerant():
        return cache.model.lstat().st_mtime
    return 0


def is_locked(lock: Path) -> bool:
    """Whether a process holds this lock. A missing lock file is not locked, nor is what is no regular file."""
    try:
        file = program.open_file(lock, os.O_RDONLY)
    except OSError as error:
        if error.errno not in program.UNUSABLE:
            raise
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, because the claim may be mounted read-only
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(file)
    return False


def plan(entries: Iterable[Entry], rules: Rules, now: float) -> list[Removal]:
    """Select removals: leftovers, damaged models, models unused for too long, then the least recently used by size."""
    entries = list(entries)
    idle = sorted((entry for entry in entries if _is_removable(entry, rules, now)), key=lambda entry: entry.last_used)
    expired = [(entry, reason) for entry in idle if (reason := _reason(entry, rules, now))]
    removals = [*_leftover_removals(entries), *(_model_removal(entry, reason) for entry, reason in expired)]
    remaining = sum(entry.bytes + entry.leftover_bytes for entry in entries) - sum(r.bytes for r in removals)
    candidates = [entry for entry in idle if not _reason(entry, rules, now)]
    return [*removals, *_size_removals(candidates, remaining, rules)]


def _leftover_removals(entries: Iterable[Entry]) -> list[Removal]:
    return [
        Removal(entry.key, False, entry.leftover_bytes, "interrupted download")
        for entry in entries
        if entry.leftovers and entry.state != State.WRITING
    ]


def _model_removal(entry: Entry, reason: str) -> Removal:
    return Removal(entry.key, True, entry.bytes, reason)


def _is_removable(entry: Entry, rules: Rules, now: float) -> bool:
    """Whether the key has a model that the rules do not protect."""
    unprotected = entry.key not in rules.mounted and now - entry.last_used >= rules.grace
    return entry.state in (State.COMPLETE, State.DAMAGED) and unprotected


def _reason(entry: Entry, rules: Rules, now: float) -> str:
    if entry.state == State.DAMAGED:
        return "damaged"
    aged = rules.unused_for is not None and now - entry.last_used >= rules.unused_for
    return "unused for too long" if aged else ""


def _size_removals(candidates: Iterable[Entry], remaining: int, rules: Rules) -> Iterator[Removal]:
    for entry in candidates:
        if rules.max_bytes is None or remaining <= rules.max_bytes:
            return
        remaining -= entry.bytes
        yield _model_removal(entry, "cache too large")


def mounted_keys(pods: Any) -> frozenset[str]:
    """Return the keys that unfinished pods mount, from the output of `kubectl get pods -o json`.

    Raises ValueError for any other object.
    """
    try:
        paths = [path for pod in pods["items"] for path in _sub_paths(pod)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a list of pods as printed by `kubectl get pods -o json`") from error
    return frozenset(part for path in paths for part in path.split("/") if PATTERN.fullmatch(part))


def _sub_paths(pod: Mapping[str, Any]) -> list[str]:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return []
    spec = pod["spec"]
    # Native sidecars are init containers; others are restarted with the pod.
    containers = [*spec["containers"], *(spec.get("initContainers") or ()), *(spec.get("ephemeralContainers") or ())]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    return [mount.get("subPath") or mount.get("subPathExpr") or "" for mount in mounts]


def remove(directory: Path, removal: Removal, rules: Rules, now: float, on_progress: OnProgress) -> bool:
    """Execute a removal. Returns False, and removes nothing, if the key is in use or was used since the plan.

    A model disappears atomically; its files are deleted afterwards. Raises OSError when a move or deletion fails.
    """
    with opened(directory) as folder:
        cache = program.Cache(folder, removal.key)
        with lock(cache) as free:
            if not free or (removal.is_model and now - last_used(cache) < rules.grace):
                return False
            paths = [cache.model, cache.record] if removal.is_model else leftovers(cache)
            trash = [move_to_trash(cache, path) for path in paths]
        for path in trash:
            with contextlib.suppress(FileNotFoundError):
                trees.delete(path, on_progress)
    return True


@contextlib.contextmanager
def lock(cache: program.Cache) -> Iterator[bool]:
    """Try to take the lock of a key, and hold it for the block. Yields whether it was free."""
    file = program.open_file(cache.lock, os.O_RDWR | os.O_CREAT)
    try:
        yield program.try_lock(file)
    finally:
        os.close(file)


def move_to_trash(cache: program.Cache, path: Path) -> Path:
    """Rename a path atomically, and return its new path."""
    trash = cache.new_path("trash")
    with contextlib.suppress(FileNotFoundError):
        path.rename(trash)
    return trash
