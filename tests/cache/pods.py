"""Init containers that share one claim: the real wrapper, delivered as the webhook delivers it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from webhook.cache.command import CachedModel, Limits, wrapped
from webhook.cache.key import key
from webhook.cache.wrapper import Cache

URI = "s3://models/iris"
DEADLINE = 60.0
"""Seconds after which a test that waits for something gives up."""


def shell(script: str) -> list[str]:
    """A downloader: a shell script whose `$1` is the directory to download into."""
    return ["sh", "-ec", script, "downloader"]


@dataclass
class Pod:
    """One init container that has been started."""

    process: subprocess.Popen[str]
    termination_log: Path
    output: str = ""

    @property
    def message(self) -> str:
        """What it left in the termination log."""
        return self.termination_log.read_text()

    def finish(self) -> int:
        """Wait for its end; gives its exit status."""
        self.output = self.process.communicate(timeout=DEADLINE)[0]
        return self.process.returncode

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the wrapper alone a signal, as a kubelet does, and wait for its end."""
        self.process.send_signal(number)
        return self.finish()


@dataclass
class Claim:
    """A directory that stands for a mounted claim, and the pods that mount it."""

    root: Path
    directory: str = "models"
    uri: str = URI
    limits: Limits = field(default_factory=Limits)
    env: Mapping[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    user: int | None = None
    group: int | None = None
    pods: list["Pod"] = field(default_factory=list)
    """All that were started; shared by the copies that `dataclasses.replace` makes."""

    @property
    def cache(self) -> Cache:
        return Cache(self.root / self.directory, key(self.uri))

    @property
    def model(self) -> Path:
        """Where a complete model is to be seen."""
        return self.cache.model

    def find(self, name: str) -> list[Path]:
        """What has this name, wherever it is. `rglob` fails where a directory goes away meanwhile."""
        return [Path(folder) / name for folder, *inside in os.walk(self.root) for names in inside if name in names]

    def names(self) -> set[str]:
        """All that lies in the cache directory, but for the locks."""
        return {path.name for path in self.cache.directory.iterdir() if path.suffix != ".lock"}

    def start(self, downloader: list[str], name: str = "pod-a", args: Sequence[str] = ("/mnt/models",)) -> Pod:
        """Start an init container of the pod `name`, which downloads with this command and these args."""
        model = CachedModel(self.uri, str(self.root), self.directory, key(self.uri))
        command, args = wrapped(downloader, args, "/mnt/models", model, self.limits)
        log = self.root.parent / f"{self.root.name}-{name}.termination-log"
        log.touch()
        log.chmod(0o666)
        process = subprocess.Popen(
            [str(self.python), *command[1:], f"--termination-log={log}", *args],
            env={"PATH": os.environ["PATH"], "POD_NAME": name, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
        )
        self.pods.append(Pod(process, log))
        return self.pods[-1]

    def run(self, downloader: list[str], name: str = "pod-a") -> Pod:
        """Like `start`, to the end."""
        pod = self.start(downloader, name)
        pod.finish()
        return pod

    def end(self) -> None:
        """End the pods that a failed test left running."""
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.kill()
            if pod.process.stdout:
                pod.process.stdout.close()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a tree with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def running(process: int) -> bool:
    """Whether a process still does something; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
