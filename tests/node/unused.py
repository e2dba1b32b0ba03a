"""Removes from the cache what other versions of the tests left there."""

import os
import shutil
import time
from pathlib import Path

UNUSED_DAYS = 7


def mark_used(directory: Path) -> None:
    """Say that a run uses this directory of the cache now."""
    os.utime(directory)


def remove_unused(directory: Path, days: float = UNUSED_DAYS) -> None:
    """Remove the directories of the same kind that no run has used for some days; `images-1a` and `images-2b` are one.

    Another checkout on this machine may use another version, so younger ones stay.
    """
    oldest = time.time() - days * 86400
    kind = directory.name.partition("-")[0]
    for other in directory.parent.glob(f"{kind}-*"):
        if other != directory and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)
