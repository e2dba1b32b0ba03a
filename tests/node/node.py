"""A control plane with its controllers, and one real node, for the duration of a `with` block."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.controlplane import binaries
from tests.controlplane.pki import Authority, Pair
from tests.controlplane.plane import control_plane
from tests.controlplane.workdir import owned_directory
from tests.e2e.api import Api
from tests.node import api_service, containerd, controllers, kubelet, namespaces, store
from tests.node.network import own_network

READY_WITHIN = 180.0
"""Seconds until the node must be ready; many times longer than it takes on two busy cores."""


@dataclass(frozen=True)
class Node:
    """The running node and the API of its cluster."""

    api: Api
    directory: Path
    supervisor: int
    kubelet_client: Pair
    """A client certificate for the kubelet."""

    def processes(self) -> list[psutil.Process]:
        """All processes of the node: its services and what runs in containers."""
        return psutil.Process(self.supervisor).children(recursive=True)

    def named(self, name: str) -> list[psutil.Process]:
        """The node's processes of this name."""
        return [each for each in self.processes() if name_of(each) == name]

    def services_and_containers(self) -> list[psutil.Process]:
        """All processes but those that hold the node's namespaces and start its services again."""
        return psutil.Process(self._init()).children(recursive=True)

    def processes_of(self, container: str) -> list[psutil.Process]:
        """The processes of a container, by its ID; the first one is its main process."""
        return [each for each in self.processes() if container in _cgroups(each)]

    def mount(self, *arguments: str) -> None:
        """Mount something where only the node sees it."""
        self.run("mount", *arguments)

    def run(self, *command: str) -> str:
        """The output of a command that sees the node's mounts."""
        inside = ("nsenter", f"--target={self._init()}", "--mount")
        return subprocess.run([*inside, *command], capture_output=True, text=True, check=True).stdout

    def _init(self) -> int:
        (unshare,) = psutil.Process(self.supervisor).children()
        (init,) = unshare.children()
        return init.pid


def name_of(process: psutil.Process) -> str:
    """The name of a process; "" when it has ended."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def parent_of(process: psutil.Process) -> psutil.Process | None:
    """The parent of a process; None when one of them has ended."""
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def _cgroups(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cgroup").read_text()
    except OSError:  # it ended meanwhile
        return ""


@contextmanager
def running_node() -> Iterator[Node]:
    """Start everything in a network namespace of this thread, and end all of it after the block."""
    with own_network(), owned_directory(binaries.cache_directory()) as directory:
        authority = Authority(directory)
        with control_plane(kubelet.api_server_flags(authority)) as plane, plane.http() as http:
            api = Api(plane, http)
            store.copy(containerd.root(directory))
            kubeconfig = plane.user(f"system:node:{kubelet.NAME}", ["system:nodes"])
            described = (containerd.service(directory), kubelet.service(directory, kubeconfig, authority))
            with (
                api_service.running(httpx.URL(plane.url).port or 443),
                namespaces.running(directory, *described) as supervisor,
                controllers.running(plane, directory),
            ):
                _await_ready(api, directory)
                yield Node(api, directory, supervisor, authority.client("monitoring", "monitoring"))


def _await_ready(api: Api, directory: Path) -> None:
    end = time.monotonic() + READY_WITHIN
    while not _is_ready(api):
        assert time.monotonic() < end, f"the node is not ready: {_tail(directory / 'kubelet.log')}"
        time.sleep(0.1)


def _is_ready(api: Api) -> bool:
    response = api.http.get(f"/api/v1/nodes/{kubelet.NAME}")
    conditions = response.json()["status"].get("conditions", []) if response.is_success else []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else "it wrote no log"
