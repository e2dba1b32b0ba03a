"""The first process of the node's namespaces: keeps containerd and the kubelet running, as systemd does on a node.

Usage: python -m tests.node.init DIRECTORY CGROUP. `services.py` describes the directory.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.node import services

HIDDEN = ("/run", "/var/lib", "/var/log")
"""Directories that kubelet and containerd write to, whatever their options say."""
SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings of the machine that the kubelet changes."""
PAUSE = 0.2
"""Seconds until an ended service is started again."""


def main(directory: Path, cgroup: str) -> None:
    """Hide what the services would change on this machine, and run them until this process is killed."""
    _isolate(directory)
    running = {_start(service): service for service in services.read(services.INSIDE, cgroup)}
    while True:
        ended, _ = os.wait()  # containers whose parent ended are ours as well
        if service := running.pop(ended, None):
            time.sleep(PAUSE)
            running[_start(service)] = service


def _isolate(directory: Path) -> None:
    _mount("--make-rprivate", "/")
    for hidden in HIDDEN:
        _mount("-t", "tmpfs", "tmpfs", hidden)
    services.INSIDE.mkdir()
    _mount("--bind", str(directory), str(services.INSIDE))
    for name in SYSCTLS:
        setting, copy = Path("/proc/sys", name), Path("/run", name.replace("/", "."))
        copy.write_text(setting.read_text())
        _mount("--bind", str(copy), str(setting))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _start(service: services.Service) -> int:
    """Start the service once what it needs is there. Returns its process ID."""
    while service.needs and not Path(service.needs).exists():
        time.sleep(0.02)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, service.log, append, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not subprocess: it would wait for children itself.
    return os.posix_spawn(service.command[0], service.command, service.environ, file_actions=streams)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
