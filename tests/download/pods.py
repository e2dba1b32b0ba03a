"""Init containers that share one claim: they run the download program with the command that the webhook injects."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from webhook.download.command import CachedModel, Delivery, Limits, wrap_cached
from webhook.download.key import key
from webhook.download.program.cache import Cache

URI = "s3://models/iris"
DEADLINE = 60.0
"""Timeout of waiting tests, in seconds."""


def shell(script: str) -> list[str]:
    """A downloader command: a shell script whose `$1` is the directory to download into."""
    return ["sh", "-ec", script, "downloader"]


@dataclass
class Pod:
    """A started init container."""

    process: subprocess.Popen[str]
    termination_log: Path
    output: str = ""

    @property
    def message(self) -> str:
        """Contents of the termination log."""
        return self.termination_log.read_text()

    def finish(self) -> int:
        """Wait until it exits. Returns its exit status."""
        self.output = self.process.communicate(timeout=DEADLINE)[0]
        return self.process.returncode

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the program, as the kubelet does, and wait until it exits.

        With SIGKILL, the runtime kills all processes of the container.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.send_signal(number)
        for child in children if number == signal.SIGKILL else ():
            with suppress(ProcessLookupError):
                os.killpg(int(child), number)
        return self.finish()


@dataclass
class Claim:
    """A directory that represents a mounted claim, and the pods that mount it."""

    root: Path
    directory: str = "models"
    uri: str = URI
    limits: Limits = field(default_factory=Limits)
    supervise: bool = False
    sha256: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    user: int | None = None
    group: int | None = None
    fs_group: int | None = None
    copy: Path | None = None
    """The mount path of the pod's own copy; None: it mounts the model in the claim."""
    pods: list["Pod"] = field(default_factory=list)
    """All started pods; shared with copies made by `dataclasses.replace`."""

    @property
    def cache(self) -> Cache:
        return Cache(self.root / self.directory, key(self.uri))

    @property
    def model(self) -> Path:
        """Path of the complete model."""
        return self.cache.model

    def find(self, name: str) -> list[Path]:
        """All paths with this name in the claim. Unlike `rglob`, it tolerates directories that disappear."""
        return [Path(folder) / name for folder, *inside in os.walk(self.root) for names in inside if name in names]

    def names(self) -> set[str]:
        """All names in the cache directory, except locks."""
        return {path.name for path in self.cache.directory.iterdir() if path.suffix != ".lock"}

    def start(self, downloader: list[str], name: str = "pod-a", args: Sequence[str] = ("/mnt/models",)) -> Pod:
        """Start the init container of the pod `name` with this downloader."""
        path, copied = str(self.copy or "/mnt/models"), self.copy is not None
        args = [path if each == "/mnt/models" else each for each in args]
        model = CachedModel(self.uri, str(self.root), self.directory, key(self.uri), self.sha256, self.fs_group, copied)
        log = self.root.parent / f"{self.root.name}-{name}.termination-log"
        log.touch()
        log.chmod(0o666)
        delivery = Delivery(self.supervise, self.limits, str(log))
        command, args = wrap_cached(downloader, args, path, model, delivery)
        process = subprocess.Popen(
            [str(self.python), *command[1:], unescaped(args[0]), *args[1:]],
            env={"PATH": os.environ["PATH"], "HOSTNAME": name, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [self.fs_group] if self.fs_group else [],
        )
        self.pods.append(Pod(process, log))
        return self.pods[-1]

    def run(self, downloader: list[str], name: str = "pod-a") -> Pod:
        """Like `start`, and wait until it exits."""
        pod = self.start(downloader, name)
        pod.finish()
        return pod

    def end(self) -> None:
        """Kill pods that a failed test left running."""
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.kill()
            if pod.process.stdout:
                pod.process.stdout.close()


def unescaped(argument: str) -> str:
    """An argument as Kubernetes passes it to a container that has no variables."""
    return argument.replace("$$", "$")


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def contents(folder: Path) -> dict[str, bytes]:
    """All files in a tree, with their contents."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def running(process: int) -> bool:
    """Whether a process runs, and is not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
