"""Become the command given, and die with the process that started it, however that process dies.

A program of its own and not a `preexec_fn`, which is not safe in a process with threads. For the kernel the
parent is the thread that started it (PR_SET_PDEATHSIG in prctl(2)), so that has to be the main thread.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Replace this process by the command, to be killed by the kernel when process `parent` ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit("the process that wanted this one is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
