"""Runs services in namespaces of their own: mounts, processes and IPC."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.node import services
from tests.node.services import Service

ROOT = Path(__file__).parents[2]


@contextmanager
def running(directory: Path, *described: Service) -> Iterator[int]:
    """Run the services, which are started again when they end, until the end of the block or of this process.

    Yields the ID of the supervisor's process, the ancestor of all others.
    """
    services.write(directory, described)
    python = (sys.executable, "-m")
    command = [*python, "tests.node.supervisor", *python, "tests.node.init", str(directory)]
    with (
        (directory / "supervisor.log").open("ab") as log,
        # In a new session, so that Ctrl-C reaches only the tests, and it can clean up when they are killed.
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
        ) as supervisor,
    ):
        yield supervisor.pid
