"""A temporary directory that is removed even if its process is killed.

The owner holds a lock on the directory, which the kernel releases when the owner ends. Creating the next directory
removes all directories whose lock is free.
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
    """A new directory in `base` (default: the system's directory for temporary files), removed at the end."""
    base = base or Path(tempfile.gettempdir())
    remove_abandoned(base)
    # Renamed only after it is locked, so that other processes do not remove it.
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
    """Remove the directories whose owner has ended."""
    for directory in base.glob(f"{PREFIX}*"):
        if _is_free(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _is_free(directory: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # removed in the meantime, or owned by another user
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
