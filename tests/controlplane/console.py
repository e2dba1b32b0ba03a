"""Commands that take minutes, run so that one sees them move."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.controlplane.die_with_parent import tied

HEARTBEAT = 20.0
"""Seconds between two lines of progress."""


class ObtainError(Exception):
    """A step on the way to a program did not work; the message says which and how it ended."""


def say(text: str) -> None:
    """Progress goes to standard error; standard output is for what was asked."""
    print(text, file=sys.stderr, flush=True)


def silent(lines: int) -> None:
    """The progress of a command that takes no time to speak of."""


def run(
    command: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    directory: Path | None = None,
    timeout: float = float("inf"),
    progress: Callable[[int], None] = silent,
) -> str:
    """Run the command, whose program is an absolute path, and give its standard output.

    Every HEARTBEAT seconds `progress` is told the number of lines on the command's standard error so far.
    ObtainError, with the last line there, when the command fails or takes more than `timeout` seconds.
    """
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = subprocess.Popen(
            tied(list(map(str, command))),
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        try:
            code = _wait(process, timeout, lambda: progress(len(_lines(errors))))
        finally:
            process.kill()  # when the wait was interrupted; no effect on a process that has ended
            process.wait()
        if code != 0:
            name = " ".join([Path(command[0]).name, *map(str, command[1:3])])
            raise ObtainError(f"{name}: {_end(errors, code)}")
        return "\n".join(_lines(output))


def _wait(process: "subprocess.Popen[bytes]", timeout: float, heartbeat: Callable[[], None]) -> int | None:
    """The exit code, or None when the time was up."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        try:
            return process.wait(min(left, HEARTBEAT))
        except subprocess.TimeoutExpired:
            heartbeat()
    return None


def _end(errors: IO[bytes], code: int | None) -> str:
    if code is None:
        return "no answer in time"
    said = [line.strip() for line in _lines(errors) if line.strip()]
    return said[-1] if said else f"exit code {code}"


def _lines(stream: IO[bytes]) -> list[str]:
    # The process writes at the position it shares with us, so nothing here may move it.
    written = os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)
    return written.decode(errors="replace").splitlines()
