"""Commands tied to the process that starts them: they end with it, however it ends.

A program of its own and not a `preexec_fn`, which is not safe in a process with threads. For the kernel the
parent is the thread that started it (PR_SET_PDEATHSIG in prctl(2)), so that has to be one that stays.
"""

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def tied(command: list[str], thread_stays: bool = False) -> list[str]:
    """The command line that runs `command`, whose program is an absolute path, tied to this process.

    `thread_stays`: the calling thread is not the main one, and is there for as long as the command is needed.
    Only Linux has a way to do this; elsewhere the command runs untied.
    """
    if not thread_stays and threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{command[0]} would end with this thread: start it from the main thread")
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Replace this process by the command, to be killed by the kernel when process `parent` ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit("the process that wanted this one is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
