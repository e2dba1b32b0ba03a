"""Many pods race for one model on one claim while some of them are killed; a program of its own.

Prints one JSON object a round. Each pod is a fork of this process that runs the wrapper's delivered text, round after
round until it is killed, so that rounds are quick; the downloader is a program of its own, as in a container.
"""

import ctypes  # noqa: F401 - the wrapper's pods would each load it
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
from pathlib import Path
from typing import Any, NoReturn

from tests.cache.pods import contents
from webhook.cache.command import WRAPPER, CachedModel, Limits, wrapped
from webhook.cache.key import key
from webhook.cache.wrapper import Cache

Main = Callable[[list[str]], int]
"""The wrapper's: arguments to exit status."""

PODS = 50
PARTS = 3
MODEL = {f"part-{number}": b" " * 4096 for number in range(PARTS)}
DOWNLOADER = f"n=0; while [ $n -lt {PARTS} ]; do printf %4096s '' > $1/part-$n; n=$((n + 1)); sleep 0.01; done"
ROUND_LIMIT = 60.0
"""Seconds after which a round is given up."""


@dataclass
class Round:
    """What came out of one round."""

    number: int
    killed: int = 0
    failed: list[str] = field(default_factory=list)
    """The words of pods that were not killed and yet did not get the model."""
    downloads: int = 0
    """How many pods began to download."""
    completed_by: list[str] = field(default_factory=list)
    """The pods that ended well after a download of their own."""
    recorded: str = ""
    """The pod that the model's record names."""
    recorded_was_killed: bool = False
    removed: int = 0
    """How many pods thought little of what stood under the final name, and removed it."""
    identities: list[int] = field(default_factory=list)
    """The inodes seen under the final name."""
    leftovers: int = 0
    """What is left beside the model of interrupted downloads."""
    wrong: list[str] = field(default_factory=list)
    """What was seen under the final name and was not the complete model."""


class Pod:
    """A process that takes part in rounds until it is killed."""

    def __init__(self, main: Main, others: list["Pod"]) -> None:
        self.line, theirs = socket.socketpair()
        self.process = os.fork()
        if not self.process:
            for line in (self.line, *(other.line for other in others)):
                line.close()  # or the others would not notice this program's end
            _take_part(theirs, main)
        theirs.close()
        self.name = f"pod-{self.process}"
        self.is_alive = True

    def start(self, log: Path, arguments: list[str]) -> None:
        self.line.sendall(json.dumps([str(log), *arguments]).encode() + b"\n")

    def status(self) -> int:
        """Its exit status in this round: what it said, or how the process ended before it could say."""
        said = b""
        with suppress(ConnectionError):
            said = self.line.recv(16)
        if self.is_alive and said:
            return int(said)
        ended = self.end()
        return int(said) if said else ended

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        self.is_alive = False

    def end(self) -> int:
        """Let it end, and give the process's exit status."""
        self.is_alive = False
        self.line.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def _take_part(line: socket.socket, main: Main) -> NoReturn:
    status = 99
    try:
        os.environ["POD_NAME"] = f"pod-{os.getpid()}"
        for words in line.makefile():
            log, *arguments = json.loads(words)
            with Path(log).open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            line.sendall(str(main(["--termination-log=/dev/null", *arguments])).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class Crew:
    """The pods of all rounds; in place of those that were killed come new ones."""

    def __init__(self, main: Main) -> None:
        self.main = main
        self.pods: list[Pod] = []

    def complete(self) -> list[Pod]:
        self.pods = [pod for pod in self.pods if pod.is_alive]
        while len(self.pods) < PODS:
            self.pods.append(Pod(self.main, self.pods))
        return self.pods

    def end(self) -> None:
        for pod in self.pods:
            if pod.is_alive:
                pod.end()


class Arena:
    """One round: the pods, and what is seen of the model while they run."""

    def __init__(self, number: int, root: Path, rng: random.Random, crew: Crew) -> None:
        self.result, self.rng, self.crew = Round(number), rng, crew
        self.model = CachedModel(f"s3://race/{number}", str(root / "claim"), "models", key(f"s3://race/{number}"))
        self.cache = Cache(root / "claim" / "models", self.model.key)
        self.logs = root / f"round-{number}"
        self.logs.mkdir()
        _, self.arguments = wrapped(["sh", "-ec", DOWNLOADER, "sh"], ["/m"], "/m", self.model, Limits())
        self.running: dict[socket.socket, Pod] = {}
        self.killed: set[str] = set()

    def play(self) -> Round:
        self.running = {pod.line: pod for pod in self.crew.complete()}
        for pod in self.running.values():
            pod.start(self.logs / pod.name, self.arguments)
        deadline, kills = time.monotonic() + ROUND_LIMIT, self.rng.randint(3, 25)
        next_kill = next_look = time.monotonic() + self.rng.uniform(0, 0.02)
        while self.running and time.monotonic() < deadline:
            if time.monotonic() >= next_look:
                self.look()
                next_look = time.monotonic() + 0.02
            self.listen()
            if kills and len(self.running) > 5 and time.monotonic() >= next_kill:
                self.kill()
                kills, next_kill = kills - 1, time.monotonic() + self.rng.uniform(0, 0.04)
        self.close()
        return self.result

    def look(self) -> None:
        """Whoever sees the final name must see the whole model, and for ever the same one."""
        with suppress(FileNotFoundError):
            identity = self.cache.model.stat().st_ino
            if identity not in self.result.identities:
                self.result.identities.append(identity)
            seen = contents(self.cache.model)
            if seen != MODEL or not self.cache.record.exists():
                self.result.wrong.append(f"{sorted(seen)}, record: {self.cache.record.exists()}")

    def listen(self) -> None:
        for line in select.select(self.running, [], [], 0.004)[0]:
            pod = self.running.pop(line)
            self.judge(pod.name, pod.status())

    def judge(self, name: str, status: int) -> None:
        words = (self.logs / name).read_text() if (self.logs / name).exists() else ""
        downloaded = "cache: downloading" in words
        self.result.downloads += downloaded
        self.result.removed += "it has no record" in words
        if status == -signal.SIGKILL:
            self.killed.add(name)
        elif status:
            self.result.failed.append(f"{status}: {words[-500:]}")
        elif downloaded:
            self.result.completed_by.append(name)

    def kill(self) -> None:
        """SIGKILL for a pod, often the one that downloads; with or without its downloader, as chance will have it."""
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
            name = json.loads(self.cache.lock.read_text())["pod"]
        except (OSError, ValueError):
            return None
        return next((pod for pod in self.running.values() if pod.name == name), None)

    def close(self) -> None:
        for pod in self.running.values():
            self.result.failed.append(f"still running after {ROUND_LIMIT:.0f} s")
            pod.kill()
            pod.end()
        self.look()
        self.result.killed = len(self.killed)
        self.result.leftovers = len(self.cache.leftovers())
        with suppress(FileNotFoundError):
            self.result.recorded = json.loads(self.cache.record.read_text())["pod"]
        self.result.recorded_was_killed = self.result.recorded in self.killed


def main(root: Path, rounds: int, seed: int) -> None:
    namespace: dict[str, Any] = {"__name__": "wrapper"}
    exec(compile(WRAPPER, "wrapper", "exec"), namespace)
    (root / "claim").mkdir()
    rng, crew = random.Random(seed), Crew(namespace["main"])
    gc.freeze()  # forks then share what is there
    for number in range(rounds):
        print(json.dumps(asdict(Arena(number, root, rng, crew).play())), flush=True)
    crew.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
