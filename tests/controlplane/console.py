"""Run commands that take minutes, and report their progress."""

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
"""Seconds between progress reports."""


class ObtainError(Exception):
    """A program could not be obtained; the message names the failed command and its error."""


def say(text: str) -> None:
    """Print progress to standard error; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def silent(lines: int) -> None:
    """A progress callback that prints nothing, for short commands."""


def run(
    command: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    directory: Path | None = None,
    timeout: float = float("inf"),
    progress: Callable[[int], None] = silent,
) -> str:
    """Run the command, whose program is an absolute path, and return its standard output.

    Every HEARTBEAT seconds `progress` is called with the number of lines on the command's standard error so far.
    Raises ObtainError with the last of these lines if the command fails or takes more than `timeout` seconds.
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
            process.kill()  # in case the wait was interrupted
            process.wait()
        if code != 0:
            name = " ".join([Path(command[0]).name, *map(str, command[1:3])])
            raise ObtainError(f"{name}: {_error(errors, code)}")
        return "\n".join(_lines(output))


def _wait(process: "subprocess.Popen[bytes]", timeout: float, heartbeat: Callable[[], None]) -> int | None:
    """The exit code, or None after the timeout."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        try:
            return process.wait(min(left, HEARTBEAT))
        except subprocess.TimeoutExpired:
            heartbeat()
    return None


def _error(errors: IO[bytes], code: int | None) -> str:
    if code is None:
        return "no response in time"
    lines = [line.strip() for line in _lines(errors) if line.strip()]
    return lines[-1] if lines else f"exit code {code}"


def _lines(stream: IO[bytes]) -> list[str]:
    # The process shares the file position, so this must not change it.
    written = os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)
    return written.decode(errors="replace").splitlines()
