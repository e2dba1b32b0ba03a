"""Many pods race for one model on one claim while some are killed. Runs as a separate program.

Prints one JSON object per round. For speed, each pod is a fork of this process that runs the download program in each
round until it is killed. The downloader is a separate process, as in a container.
"""

import ctypes  # noqa: F401 - imported once instead of in each pod
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tests.download.pods import contents
from webhook.download.command import CachedModel, Delivery, wrap_cached
from webhook.download.composition import program_text
from webhook.download.key import key
from webhook.download.program.cache import Cache
from webhook.download.store import leftovers

Main = Callable[[list[str]], None]
"""The download program: gets its arguments, and exits."""

PODS = 50
PARTS = 3
MODEL = {f"part-{number}": b" " * 4096 for number in range(PARTS)}
DOWNLOADER = f"n=0; while [ $n -lt {PARTS} ]; do printf %4096s '' > $1/part-$n; n=$((n + 1)); sleep 0.01; done"
ROUND_LIMIT = 60.0
"""Timeout of a round, in seconds."""


@dataclass
class Round:
    """The result of a round."""

    number: int
    killed: int = 0
    failed: list[str] = field(default_factory=list)
    """Output of pods that were not killed and failed."""
    downloads: int = 0
    """Number of started downloads."""
    completed_by: list[str] = field(default_factory=list)
    """Pods that completed a download."""
    recorded: str = ""
    """The pod in the record of the model."""
    recorded_was_killed: bool = False
    removed: int = 0
    """Number of pods that removed a published model as damaged."""
    identities: list[int] = field(default_factory=list)
    """Inodes observed at the path of the model."""
    leftovers: int = 0
    """Number of leftovers of interrupted downloads."""
    wrong: list[str] = field(default_factory=list)
    """Observations of a model that was not complete."""


class Pod:
    """A process that takes part in rounds until it is killed."""

    def __init__(self, main: Main, others: list["Pod"]) -> None:
        self.line, theirs = socket.socketpair()
        self.process = os.fork()
        if not self.process:
            for line in (self.line, *(other.line for other in others)):
                line.close()  # otherwise other pods do not notice when this program exits
            _take_part(theirs, main)
        theirs.close()
        self.name = f"pod-{self.process}"
        self.is_alive = True

    def start(self, log: Path, arguments: list[str]) -> None:
        self.line.sendall(json.dumps([str(log), *arguments]).encode() + b"\n")

    def status(self) -> int:
        """Exit status in this round: as reported, or of the process if it was killed before."""
        reported = b""
        with suppress(ConnectionError):
            reported = self.line.recv(16)
        if self.is_alive and reported:
            return int(reported)
        exit_code = self.end()
        return int(reported) if reported else exit_code

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        self.is_alive = False

    def end(self) -> int:
        """Let it exit. Returns the exit status of the process."""
        self.is_alive = False
        self.line.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def _take_part(line: socket.socket, main: Main) -> NoReturn:
    status = 99
    try:
        os.environ["HOSTNAME"] = f"pod-{os.getpid()}"
        for request in line.makefile():
            log, *arguments = json.loads(request)
            with Path(log).open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            line.sendall(str(_exit_status(main, arguments)).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _exit_status(main: Main, arguments: list[str]) -> object:
    before = set(Path("/proc/self/fd").iterdir())
    try:
        main(arguments)
    except SystemExit as end:
        for file in set(Path("/proc/self/fd").iterdir()) - before:  # as if the process exited
            with suppress(OSError):
                os.close(int(file.name))
        return end.code
    raise AssertionError("the program returned")


class PodPool:
    """The pods of all rounds. New pods replace killed ones."""

    def __init__(self, main: Main) -> None:
        self.main = main
        self.pods: list[Pod] = []

    def refill(self) -> list[Pod]:
        self.pods = [pod for pod in self.pods if pod.is_alive]
        while len(self.pods) < PODS:
            self.pods.append(Pod(self.main, self.pods))
        return self.pods

    def end(self) -> None:
        for pod in self.pods:
            if pod.is_alive:
                pod.end()


class Race:
    """One round: runs the pods, kills some, and observes the model."""

    def __init__(self, number: int, root: Path, rng: random.Random, pool: PodPool) -> None:
        self.result, self.rng, self.pool = Round(number), rng, pool
        self.model = CachedModel(f"s3://race/{number}", str(root / "claim"), "models", key(f"s3://race/{number}"))
        self.cache = Cache(root / "claim" / "models", self.model.key)
        self.logs = root / f"round-{number}"
        self.logs.mkdir()
        _, self.arguments = wrap_cached(
            ["sh", "-ec", DOWNLOADER, "sh"], ["/m"], "/m", self.model, Delivery(termination_log="/dev/null")
        )
        self.running: dict[socket.socket, Pod] = {}
        self.killed: set[str] = set()

    def run(self) -> Round:
        self.running = {pod.line: pod for pod in self.pool.refill()}
        for pod in self.running.values():
            pod.start(self.logs / pod.name, self.arguments)
        deadline, kills = time.monotonic() + ROUND_LIMIT, self.rng.randint(3, 25)
        next_kill = next_observation = time.monotonic() + self.rng.uniform(0, 0.02)
        while self.running and time.monotonic() < deadline:
            if time.monotonic() >= next_observation:
                self.observe()
                next_observation = time.monotonic() + 0.02
            self.receive()
            if kills and len(self.running) > 5 and time.monotonic() >= next_kill:
                self.kill()
                kills, next_kill = kills - 1, time.monotonic() + self.rng.uniform(0, 0.04)
        self.close()
        return self.result

    def observe(self) -> None:
        """Check that the model, once visible, is complete and never replaced."""
        with suppress(FileNotFoundError):
            identity = self.cache.model.stat().st_ino
            if identity not in self.result.identities:
                self.result.identities.append(identity)
            seen = contents(self.cache.model)
            if seen != MODEL or not self.cache.record.exists():
                self.result.wrong.append(f"{sorted(seen)}, record: {self.cache.record.exists()}")

    def receive(self) -> None:
        for line in select.select(self.running, [], [], 0.004)[0]:
            pod = self.running.pop(line)
            self.record_exit(pod.name, pod.status())

    def record_exit(self, name: str, status: int) -> None:
        output = (self.logs / name).read_text() if (self.logs / name).exists() else ""
        downloaded = "storage: downloading" in output
        self.result.downloads += downloaded
        self.result.removed += f"removing {self.cache.key}:" in output
        if status == -signal.SIGKILL:
            self.killed.add(name)
        elif status:
            self.result.failed.append(f"{status}: {output[-500:]}")
        elif downloaded:
            self.result.completed_by.append(name)

    def kill(self) -> None:
        """Kill a random pod, often the one that downloads, with or without its downloader."""
        pod = self.writer() if self.rng.random() < 0.5 else None
        pod = pod or self.rng.choice(list(self.running.values()))
        children = Path(f"/proc/{pod.process}/task/{pod.process}/children").read_text().split()
        pod.kill()
        if self.rng.random() < 0.5:
            for child in children:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(child), signal.SIGKILL)

    def writer(self) -> Pod | None:
        try:
            name = self.cache.lock.read_text().split()[1].rstrip(",")
        except (OSError, IndexError):
            return None
        return next((pod for pod in self.running.values() if pod.name == name), None)

    def close(self) -> None:
        for pod in self.running.values():
            self.result.failed.append(f"still running after {ROUND_LIMIT:.0f} s")
            pod.kill()
            pod.end()
        self.observe()
        self.result.killed = len(self.killed)
        self.result.leftovers = len(leftovers(self.cache))
        with suppress(FileNotFoundError):
            self.result.recorded = json.loads(self.cache.record.read_text())["pod"]
        self.result.recorded_was_killed = self.result.recorded in self.killed


def main(root: Path, rounds: int, seed: int) -> None:
    namespace: dict[str, Any] = {"__name__": "program"}
    definitions = program_text("in_cache").rpartition("main(")[0]
    exec(compile(definitions, "program", "exec"), namespace)
    (root / "claim").mkdir()
    rng, pool = random.Random(seed), PodPool(partial(namespace["main"], deliver=namespace["in_cache"]))
    gc.freeze()  # so that forks share memory
    for number in range(rounds):
        print(json.dumps(asdict(Race(number, root, rng, pool).run())), flush=True)
    pool.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
