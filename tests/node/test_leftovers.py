"""What a node leaves on the machine when it ends: nothing, also when it is killed."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.api import eventually
from tests.node import cgroups, images, init, requirements

MARK = "STORAGE_WEBHOOK_NODE_UNDER_TEST"
POD = ("run", "sleeping", f"--image={images.SERVER}", "--restart=Never", "--", "sleep", "infinity")
RUNS = ("wait", "--for=condition=Ready", "pod/sleeping", "--timeout=120s")


def traces() -> dict[str, object]:
    """What a node might change on this machine. Nodes of other runs come and go: their cgroups do not count."""
    return {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "links": sorted(Path("/sys/class/net").iterdir()),
        "settings": {name: Path("/proc/sys", name).read_text() for name in init.SYSCTLS},
        "forwarding": Path("/proc/1/net/route").read_text(),
    }


@pytest.fixture
def mark() -> str:
    """An environment variable's value by which the node's processes are found."""
    if needed := requirements.missing():
        pytest.skip(f"the node needs {needed}")
    return uuid.uuid4().hex


@pytest.fixture
def node(mark: str) -> Iterator["subprocess.Popen[str]"]:
    """A cluster with a running pod."""
    command = [sys.executable, "-m", "tests.node"]
    environ = {**os.environ, MARK: mark}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout
            kubectl = process.stdout.readline().split()
            for arguments in (POD, RUNS):
                done = subprocess.run([*kubectl, *arguments], capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            yield process
        finally:
            process.kill()


def marked(mark: str) -> list[psutil.Process]:
    """The node's processes outside of containers, whose names tell a failure what is left."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(mark: str, request: pytest.FixtureRequest, end: signal.Signals) -> None:
    before = traces()
    node: subprocess.Popen[str] = request.getfixturevalue("node")
    (supervisor,) = (each for each in marked(mark) if "tests.node.supervisor" in each.cmdline())
    inside = supervisor.children(recursive=True)
    assert {"containerd", "kubelet", "sleep"} <= {each.name() for each in inside}
    directories = [hierarchy / f"{cgroups.PREFIX}{supervisor.pid}" for hierarchy in cgroups.hierarchies()]
    assert all(directory.exists() for directory in directories)
    node.send_signal(end)
    node.wait()
    eventually(lambda: marked(mark) == [])
    eventually(lambda: [each for each in inside if each.is_running()] == [])  # init of the machine reaps the last one
    assert [directory for directory in directories if directory.exists()] == []
    assert traces() == before
