"""What lies in a cache directory, and what of it may go.

The directory's layout, its locks and what counts as complete are the wrapper's; see its docstring.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from webhook.cache import wrapper
from webhook.cache.key import PATTERN

Tick = Callable[[int], None]
"""Told of progress: so many bytes more were looked at, or deleted."""

_NAMES = re.compile(rf"({PATTERN.pattern})|\.({PATTERN.pattern})\.(complete|[0-9a-f]+\.(tmp|trash))")
"""What a key leaves in the directory, but for its lock, which stays for ever and weighs nothing."""


class State(StrEnum):
    """What a key of the cache is worth."""

    COMPLETE = "complete"
    WRITING = "writing"
    INCOMPLETE = "incomplete"
    """What is left of a download that was interrupted, or of a removal."""
    DAMAGED = "damaged"
    """There is a model, but it is not what its record says, or has none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the cache. Sizes in bytes, times in seconds since 1970."""

    key: str
    state: State
    bytes: int = 0
    """Of the model."""
    leftover_bytes: int = 0
    """Of all else: a download under way, or what is left of one."""
    leftovers: int = 0
    """How many things that is."""
    files: int = 0
    uri: str = ""
    downloaded: str = ""
    """UTC, as in the record."""
    last_used: float = 0
    """When a pod last asked for the model."""
    holder: str = ""
    """Who is writing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What may go. Durations in seconds, sizes in bytes."""

    unused_for: float | None = None
    """Models that no pod has asked for during this time."""
    max_bytes: int | None = None
    """The longest unused models, until what is left is no bigger than this."""
    grace: float = 86400
    """A model that was asked for within this time stays, whatever the other rules say."""
    mounted: frozenset[str] = frozenset()
    """Keys whose models stay because pods mount them."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that goes, and why: a model, or the leftovers under its key."""

    key: str
    is_model: bool
    bytes: int
    reason: str


def scan(directory: Path, tick: Tick) -> list[Entry]:
    """Every key in the directory, in order. Changes nothing; raises OSError when something cannot be read."""
    found = (_NAMES.fullmatch(path.name) for path in directory.iterdir())
    keys = {match[1] or match[2] for match in found if match}
    return [_entry(wrapper.Cache(directory, key), tick) for key in sorted(keys)]


def _entry(cache: wrapper.Cache, tick: Tick) -> Entry:
    busy = is_locked(cache.lock)
    record = wrapper.complete(cache)
    leftovers = _leftovers(cache)
    leftover_bytes = sum(weigh(path, tick) for path in leftovers)
    size = weigh(cache.model, tick)
    state = _state(record is not None, busy, cache.model.exists())
    record = record or {}
    return Entry(
        cache.key,
        state,
        size,
        leftover_bytes,
        len(leftovers),
        files=int(record.get("files", 0)),
        uri=str(record.get("uri", "")),
        downloaded=str(record.get("time", "")),
        last_used=last_used(cache),
        holder=wrapper.holder(cache) if state == State.WRITING else "",
    )


def _state(complete: bool, busy: bool, model_exists: bool) -> State:
    if complete:
        return State.COMPLETE
    if busy:
        return State.WRITING
    return State.DAMAGED if model_exists else State.INCOMPLETE


def _leftovers(cache: wrapper.Cache) -> list[Path]:
    """All that is not the model; a record without its model counts."""
    stale = [cache.record] if cache.record.exists() and not cache.model.exists() else []
    return [*cache.leftovers(), *stale]


def weigh(path: Path, tick: Tick) -> int:
    """The bytes of a file or a tree that others may be changing; 0 when there is none."""
    total = 0
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):
            size = file.lstat().st_size
            total += size
            tick(size)
    return total


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def last_used(cache: wrapper.Cache) -> float:
    """When a pod last asked for the model; without a record when it came, without a model 0.

    The record is opened, which makes an NFS client ask its server instead of its memory.
    """
    with contextlib.suppress(FileNotFoundError), cache.record.open() as file:
        return os.fstat(file.fileno()).st_mtime
    with contextlib.suppress(FileNotFoundError):
        return cache.model.stat().st_mtime
    return 0


def is_locked(lock: Path) -> bool:
    """Whether somebody holds this lock; one that nobody ever took is free."""
    try:
        file = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: a claim may be mounted read-only here
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(file)
    return False


def plan(entries: Iterable[Entry], rules: Rules, now: float) -> list[Removal]:
    """What goes: leftovers, damaged models, models unused for too long, then by size, longest unused first."""
    entries = list(entries)
    idle = sorted((entry for entry in entries if _may_go(entry, rules, now)), key=lambda entry: entry.last_used)
    doomed = [(entry, reason) for entry in idle if (reason := _reason(entry, rules, now))]
    removals = [*_leftover_removals(entries), *(_of_model(entry, reason) for entry, reason in doomed)]
    left = sum(entry.bytes + entry.leftover_bytes for entry in entries) - sum(r.bytes for r in removals)
    spared = [entry for entry in idle if not _reason(entry, rules, now)]
    return [*removals, *_oversize(spared, left, rules)]


def _leftover_removals(entries: Iterable[Entry]) -> list[Removal]:
    return [
        Removal(entry.key, False, entry.leftover_bytes, "interrupted download")
        for entry in entries
        if entry.leftovers and entry.state != State.WRITING
    ]


def _of_model(entry: Entry, reason: str) -> Removal:
    return Removal(entry.key, True, entry.bytes, reason)


def _may_go(entry: Entry, rules: Rules, now: float) -> bool:
    """Whether the key has a model that the rules do not protect."""
    unprotected = entry.key not in rules.mounted and now - entry.last_used >= rules.grace
    return entry.state in (State.COMPLETE, State.DAMAGED) and unprotected


def _reason(entry: Entry, rules: Rules, now: float) -> str:
    if entry.state == State.DAMAGED:
        return "damaged"
    aged = rules.unused_for is not None and now - entry.last_used >= rules.unused_for
    return "unused for too long" if aged else ""


def _oversize(spared: Iterable[Entry], left: int, rules: Rules) -> Iterator[Removal]:
    for entry in spared:
        if rules.max_bytes is None or left <= rules.max_bytes:
            return
        left -= entry.bytes
        yield _of_model(entry, "cache too big")


def mounted_keys(pods: Any) -> frozenset[str]:
    """The keys that unfinished pods mount, from a list of pods as `kubectl get pods -o json` prints it.

    Raises ValueError when it is something else.
    """
    try:
        paths = [path for pod in pods["items"] for path in _sub_paths(pod)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a list of pods, as `kubectl get pods -o json` prints it") from error
    return frozenset(part for path in paths for part in path.split("/") if PATTERN.fullmatch(part))


def _sub_paths(pod: Mapping[str, Any]) -> list[str]:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return []
    return [mount.get("subPath", "") for c in pod["spec"]["containers"] for mount in c.get("volumeMounts", ())]


def remove(directory: Path, removal: Removal, rules: Rules, now: float, tick: Tick) -> bool:
    """Carry a removal out; False when it stayed, because somebody writes or has used the model since.

    It disappears in one step, its bytes after that. Raises OSError when something cannot be moved or deleted.
    """
    cache = wrapper.Cache(directory, removal.key)
    with _lock(cache) as free:
        if not free or (removal.is_model and now - last_used(cache) < rules.grace):
            return False
        doomed = [cache.model, cache.record] if removal.is_model else _leftovers(cache)
        trash = [_hide(cache, path) for path in doomed]
    for path in trash:
        delete(path, tick)
    return True


@contextlib.contextmanager
def _lock(cache: wrapper.Cache) -> Iterator[bool]:
    """Whether the key's lock could be had; it is held until the block ends."""
    file = os.open(cache.lock, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        yield wrapper.try_lock(file)
    finally:
        os.close(file)


def _hide(cache: wrapper.Cache, path: Path) -> Path:
    """Take it away from under its name in one step."""
    trash = cache.scratch("trash")
    with contextlib.suppress(FileNotFoundError):
        path.rename(trash)
    return trash


def delete(path: Path, tick: Tick) -> None:
    """Delete a file or a tree, telling of each file; somebody else may be deleting the same one."""
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):
            size = file.lstat().st_size
            file.unlink()
            tick(size)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
