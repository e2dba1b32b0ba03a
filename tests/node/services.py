"""The services of the node, described in the node's directory for the process that runs them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "services.json"
INSIDE = Path("/run/node")
"""Where the services see the node's directory: a short path, because those of sockets have at most 107 bytes."""
CGROUP = "{cgroup}"
"""Stands for the name of the node's cgroup in a command."""


@dataclass(frozen=True)
class Service:
    """A command, its log and its environment. It starts once the path `needs` exists.

    Paths are those that services see.
    """

    command: Sequence[str]
    log: str
    environ: dict[str, str]
    needs: str = ""


def write(directory: Path, services: Sequence[Service]) -> None:
    """Describe the services in the directory."""
    (directory / FILE).write_text(json.dumps([asdict(service) for service in services]))


def read(directory: Path, cgroup: str) -> list[Service]:
    """The services of the directory, with the name of the cgroup in their commands."""
    found = [Service(**each) for each in json.loads((directory / FILE).read_text())]
    return [
        Service([word.replace(CGROUP, cgroup) for word in each.command], each.log, each.environ, each.needs)
        for each in found
    ]
