"""A directory that belongs to one process and does not outlive it for long.

The owner holds a lock on the directory, which the kernel releases however the owner ends. Who makes the
next one removes those whose lock is free.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "storage-webhook-controlplane-"


@contextmanager
def owned_directory(base: Path | None = None) -> Iterator[Path]:
    """A fresh directory in `base` (default: the system's place for temporary files), removed at the end."""
    base = base or Path(tempfile.gettempdir())
    remove_abandoned(base)
    # Seen by others under its final name only once it is locked.
    unlocked = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    lock = os.open(unlocked, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    directory = unlocked.rename(base / unlocked.name.removeprefix("."))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def remove_abandoned(base: Path) -> None:
    """Remove the directories whose owner is gone."""
    for directory in base.glob(f"{PREFIX}*"):
        if _is_free(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _is_free(directory: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # removed meanwhile, or another user's
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
