"""The node's cgroups: one directory in each hierarchy of cgroup v1, removed when the node ends.

The directory is named after the process that removes it, so that the next run can remove what a killed one left.
"""

import os
import time
from pathlib import Path

MOUNTS = Path("/sys/fs/cgroup")
PREFIX = "storage-webhook-node-"
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids")
"""Controllers that the kubelet needs."""
EMPTY_WITHIN = 30.0
"""Seconds until the processes of a killed namespace have left their cgroups."""


def hierarchies() -> list[Path]:
    """The mounted hierarchies of cgroup v1, and the unified one if it is mounted beside them."""
    return sorted(path for path in MOUNTS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())


def create(owner: int) -> str:
    """Create the directory of this owner's node in all hierarchies. Returns its name."""
    name = f"{PREFIX}{owner}"
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        for limits in ("cpuset.cpus", "cpuset.mems"):  # empty at first, and no process can join then
            if (hierarchy / limits).exists():
                (hierarchy / name / limits).write_text((hierarchy / limits).read_text())
    return name


def remove(name: str) -> None:
    """Remove the directory from all hierarchies, once its processes have ended. Raises OSError if they do not."""
    end = time.monotonic() + EMPTY_WITHIN
    for hierarchy in hierarchies():
        while (hierarchy / name).exists():
            try:
                _remove_tree(hierarchy / name)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def remove_abandoned() -> None:
    """Remove the directories whose owner has ended."""
    for name in {path.name for hierarchy in hierarchies() for path in hierarchy.glob(f"{PREFIX}*")}:
        if not Path(f"/proc/{name.removeprefix(PREFIX)}").exists():
            remove(name)


def _remove_tree(directory: Path) -> None:
    for parent, children, _ in os.walk(directory, topdown=False):
        for child in children:
            (Path(parent) / child).rmdir()
    directory.rmdir()
