"""Obtain the programs the tests need: `python -m tests.controlplane.obtain`.

What is found in $KUBEBUILDER_ASSETS or the cache is taken. What is missing comes from the official archives
by setup-envtest or, where those cannot be reached, is built from its pinned Go module; then it is cached.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries, pins
from tests.controlplane.builder import build, clock
from tests.controlplane.console import ObtainError, run, say
from tests.controlplane.pins import Program
from tests.controlplane.toolchain import toolchain

INDEX = "STORAGE_WEBHOOK_ENVTEST_INDEX"
"""Names a mirror of setup-envtest's index, for networks that have one."""
REACHABLE_WITHIN = 20.0
"""Seconds in which setup-envtest has to show what it offers."""


def main() -> int:
    """Obtain what is missing and print where everything is; 1 when it cannot be had."""
    try:
        obtain()
    except (ObtainError, OSError) as error:
        say(f"The control plane for tests cannot be obtained: {error}. {binaries.advice(binaries.missing())}")
        return 1
    for program in pins.PROGRAMS:
        print(binaries.path(program))
    return 0


def obtain() -> None:
    """Put every missing program into the cache; ObtainError or OSError when one cannot be had."""
    if not binaries.missing():
        return
    cache = binaries.cache_directory()
    with _alone(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
        missing = binaries.missing()  # another run may have obtained them while this one waited
        if missing:
            say(f"Obtaining {_names(missing)} into {cache} (once)")
            _fill(missing, Path(scratch))


def _fill(missing: Sequence[Program], scratch: Path) -> None:
    if any(program in pins.ENVTEST_PROGRAMS for program in missing):
        _download(scratch)
    if missing := binaries.missing():
        minutes = sum(program.minutes for program in missing)
        say(f"Building {_names(missing)} from source: about {minutes} minutes on two cores, 2 GB of memory")
    for program in missing:
        _build(program, scratch)
    shutil.rmtree(_private(), ignore_errors=True)


def _download(scratch: Path) -> None:
    """Take what the official archive has, or say why there is none."""
    say("Asking setup-envtest for the official archives")
    command = binaries.find(pins.SETUP_ENVTEST) or _build(pins.SETUP_ENVTEST, scratch)
    try:
        assets = _run_setup_envtest(command, scratch / "assets")
    except ObtainError as error:
        say(f"No official archives here: {error}")
        return
    for program in pins.ENVTEST_PROGRAMS:
        _install(assets / program.name, binaries.downloaded(program))


def _run_setup_envtest(command: Path, target: Path) -> Path:
    """The directory below `target` that holds the programs of the official archive."""
    index = os.environ.get(INDEX)
    options = ["--bin-dir", str(target), *(["--index", index] if index else [])]
    release = binaries.envtest_release()
    run([command, "list", release, *options], os.environ, timeout=REACHABLE_WITHIN)
    say(f"Downloading Kubernetes {release}")
    return Path(run([command, "use", release, "--print", "path", *options], os.environ, progress=clock("download")))


def _build(program: Program, scratch: Path) -> Path:
    build(program, scratch / program.name, toolchain(_private()))
    return _install(scratch / program.name, binaries.built(program))


def _install(source: Path, target: Path) -> Path:
    """Move the program into place whole: a reader sees all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return source.replace(target)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the cache's lock, so that two runs do not build at once, and clear what a killed run left."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another run is filling {cache}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in cache.glob(".obtain-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _private() -> Path:
    """Where a Go of our own and its caches live while they are needed."""
    return binaries.cache_directory() / "toolchain"


def _names(programs: Sequence[Program]) -> str:
    return ", ".join(program.name for program in programs)


if __name__ == "__main__":
    sys.exit(main())
