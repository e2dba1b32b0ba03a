"""What a machine needs to run the node."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.node import cgroups

COMMANDS = ("apt-get", "cc", "cp", "dpkg-deb", "ip", "ldd", "mount", "unshare")


def missing() -> str:
    """What this machine lacks, in a few words; empty if it can run the node."""
    if sys.platform != "linux":
        return "Linux"
    if os.geteuid():
        return "root"
    if absent := [name for name in COMMANDS if not shutil.which(name)]:
        return f"the commands {', '.join(absent)}"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers (Debian: apt install python3-dev)"
    namespaces = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--mount-proc"]
    if subprocess.run(
        [*namespaces, "mount", "-t", "tmpfs", "tmpfs", "/run"], check=False, capture_output=True
    ).returncode:
        return "permission to create namespaces and mounts"
    return _missing_cgroups()


def _missing_cgroups() -> str:
    found = {path.name for path in cgroups.hierarchies()} if cgroups.MOUNTS.is_dir() else set()
    names = {name for mounted in found for name in mounted.split(",")}
    if absent := [name for name in cgroups.CONTROLLERS if name not in names]:
        return f"the cgroup v1 controllers {', '.join(absent)} below {cgroups.MOUNTS}"
    try:
        cgroups.remove(cgroups.create(os.getpid()))
    except OSError as error:
        return f"writable cgroups ({error})"
    return ""
