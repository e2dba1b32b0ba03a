"""Commands that the kernel kills when the process that started them ends.

This is a separate program because a `preexec_fn` is not safe in a process with threads. For the kernel, the parent is
the thread that started the command (PR_SET_PDEATHSIG in prctl(2)), so this thread must not end earlier.
"""

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def tied(command: list[str], thread_stays: bool = False) -> list[str]:
    """The command line that runs `command`, and ends it when this process ends. Its program is an absolute path.

    `thread_stays`: the calling thread is not the main thread, but lives as long as the command is needed.
    This works on Linux only; elsewhere the command does not end with this process.
    """
    if not thread_stays and threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{command[0]} would end with this thread: start it from the main thread")
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Replace this process by the command, which the kernel kills when process `parent` ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the prctl call
        sys.exit("the parent process has ended")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
