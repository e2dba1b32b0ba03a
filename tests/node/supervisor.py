"""Runs a command as the first process of new namespaces, and removes its cgroups when it ends.

It ends the command when its own standard input is closed: also when the process that started it was killed.
Usage: python -m tests.node.supervisor COMMAND… The command gets the name of its cgroup as last argument.
"""

import os
import select
import subprocess
import sys

from tests.controlplane.die_with_parent import tied
from tests.node import cgroups

NAMESPACES = ("--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input is closed. Returns its exit code."""
    cgroups.remove_abandoned()
    name = cgroups.create(os.getpid())
    try:
        with subprocess.Popen(
            tied(["/usr/bin/unshare", *NAMESPACES, *command, name]), stdin=subprocess.DEVNULL
        ) as child:
            try:
                _wait(child)
            finally:
                child.kill()
        return child.returncode
    finally:
        cgroups.remove(name)


def _wait(child: "subprocess.Popen[bytes]") -> None:
    ended = os.pidfd_open(child.pid)
    try:
        select.select([sys.stdin, ended], [], [])
    finally:
        os.close(ended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
