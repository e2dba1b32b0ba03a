"""A server as a child process. It logs to a file, and ends when this process ends."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.controlplane import binaries
from tests.controlplane.die_with_parent import tied

START_WITHIN = 120.0
"""Seconds until a server must be ready; many times longer than it takes on two busy cores."""
STOP_WITHIN = 15.0
"""Seconds for a graceful stop before the process is killed."""


class StartError(Exception):
    """The server exited or was not ready in time; the message contains the end of its log."""


class Child:
    """A server that can be started and stopped repeatedly, with the same command line."""

    def __init__(self, command: list[str], log: Path, is_ready: Callable[[], bool]) -> None:
        self._command = command
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process ID of the running server."""
        if not self._process:
            raise RuntimeError(f"{self._command[0]} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it is ready. Raises StartError with the end of its log."""
        if self._process:
            raise RuntimeError(f"{self._command[0]} is already running")
        with self._log.open("ab") as log:
            # In a new session, so that Ctrl-C in the terminal reaches only the tests, which then stop the server.
            self._process = subprocess.Popen(
                tied(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=binaries.environ(),
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Send SIGTERM, and kill the server after STOP_WITHIN. No effect if it is stopped."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)
            self.kill()

    def kill(self) -> None:
        """Kill the server. No effect if it is stopped."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + START_WITHIN
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > end:
                raise StartError(f"{Path(self._command[0]).name} did not start. The end of its log:\n{self._tail()}")
            time.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
