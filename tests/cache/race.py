"""Many pods race for one model on one claim while some of them are killed; a program of its own.

Prints one JSON object a round. Each pod is a fork of this process that runs the wrapper's delivered text, so that
rounds are quick; the downloader is a program of its own, as in a container.
"""

import gc
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.cache.pods import contents
from webhook.cache.command import WRAPPER, CachedModel, Limits, wrapped
from webhook.cache.key import key
from webhook.cache.wrapper import Cache

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


class Arena:
    """One round: the pods, and what is seen of the model while they run."""

    def __init__(self, number: int, root: Path, rng: random.Random, main: Any) -> None:
        self.result, self.rng, self.main = Round(number), rng, main
        self.model = CachedModel(f"s3://race/{number}", str(root / "claim"), "models", key(f"s3://race/{number}"))
        self.cache = Cache(root / "claim" / "models", self.model.key)
        self.logs = root / f"round-{number}"
        self.logs.mkdir()
        _, self.arguments = wrapped(["sh", "-ec", DOWNLOADER, "sh"], ["/m"], "/m", self.model, Limits())
        self.alive: set[int] = set()
        self.start = -1
        self.killed: set[str] = set()

    def play(self) -> Round:
        start, self.start = os.pipe()
        self.alive = {self.fork(start) for _ in range(PODS)}
        os.close(start)
        os.close(self.start)  # and they are off
        deadline, kills = time.monotonic() + ROUND_LIMIT, self.rng.randint(3, 25)
        next_kill = next_look = time.monotonic() + self.rng.uniform(0, 0.02)
        while self.alive and time.monotonic() < deadline:
            if time.monotonic() >= next_look:
                self.look()
                next_look = time.monotonic() + 0.02
            self.reap()
            if kills and len(self.alive) > 5 and time.monotonic() >= next_kill:
                self.kill()
                kills, next_kill = kills - 1, time.monotonic() + self.rng.uniform(0, 0.04)
            time.sleep(0.004)
        self.close()
        return self.result

    def fork(self, start: int) -> int:
        pod = os.fork()
        if not pod:
            self.become_a_pod(start)
        return pod

    def become_a_pod(self, start: int) -> None:
        status = 99
        try:
            os.close(self.start)
            os.read(start, 1)  # until everybody is there
            name = f"pod-{os.getpid()}"
            log = os.open(f"{self.logs}/{name}", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["POD_NAME"] = name
            status = self.main(["--termination-log=/dev/null", *self.arguments])
        finally:
            sys.stdout.flush()
            os._exit(status)

    def look(self) -> None:
        """Whoever sees the final name must see the whole model, and for ever the same one."""
        with suppress(FileNotFoundError):
            identity = self.cache.model.stat().st_ino
            if identity not in self.result.identities:
                self.result.identities.append(identity)
            seen = contents(self.cache.model)
            if seen != MODEL or not self.cache.record.exists():
                self.result.wrong.append(f"{sorted(seen)}, record: {self.cache.record.exists()}")

    def reap(self) -> None:
        while self.alive:
            pod, status = os.waitpid(-1, os.WNOHANG)
            if not pod:
                return
            self.alive.remove(pod)
            self.judge(f"pod-{pod}", os.waitstatus_to_exitcode(status))

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
        pod = pod or self.rng.choice(sorted(self.alive))
        children = Path(f"/proc/{pod}/task/{pod}/children").read_text().split()
        os.kill(pod, signal.SIGKILL)
        if self.rng.random() < 0.5:
            for child in children:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(child), signal.SIGKILL)

    def writer(self) -> int | None:
        try:
            pod = int(json.loads(self.cache.lock.read_text())["pod"].removeprefix("pod-"))
        except (OSError, ValueError):
            return None
        return pod if pod in self.alive else None

    def close(self) -> None:
        for pod in self.alive:
            self.result.failed.append(f"still running after {ROUND_LIMIT:.0f} s")
            os.kill(pod, signal.SIGKILL)
            os.waitpid(pod, 0)
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
    rng = random.Random(seed)
    gc.freeze()  # forks then share what is there
    for number in range(rounds):
        print(json.dumps(asdict(Arena(number, root, rng, namespace["main"]).play())), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
