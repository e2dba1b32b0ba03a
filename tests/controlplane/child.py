"""A server run as a child process: its log in a file, ended for sure with this process."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.controlplane import binaries
from tests.controlplane.die_with_parent import tied

START_WITHIN = 120.0
"""Seconds for a server to be ready; many times what two busy cores take."""
STOP_WITHIN = 15.0
"""Seconds for an orderly end, before the process is killed."""


class StartError(Exception):
    """The server ended or was not ready in time; the message holds the end of its log."""


class Child:
    """One server that can be started and stopped any number of times, with the same command line."""

    def __init__(self, command: list[str], log: Path, is_ready: Callable[[], bool]) -> None:
        self._command = command
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        if not self._process:
            raise RuntimeError(f"{self._command[0]} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it is ready; StartError with the end of its log otherwise."""
        if self._process:
            raise RuntimeError(f"{self._command[0]} is running already")
        with self._log.open("ab") as log:
            # Its own session: Ctrl-C in the terminal reaches the tests first, which then stop it in order.
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
        """Ask the server to end, and kill it if it has not after STOP_WITHIN; nothing if it is stopped."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would; nothing if it is stopped."""
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
