"""Obtain the programs the tests need: `python -m tests.controlplane.obtain`.

What is found in $KUBEBUILDER_ASSETS or the cache is taken. What is missing comes from the official archives
by setup-envtest or, where those cannot be reached, is built from its pinned Go module; then it is cached.
"""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries, pins
from tests.controlplane.console import ObtainError, run, say
from tests.controlplane.pins import Program
from tests.controlplane.toolchain import Toolchain, toolchain

INDEX = "STORAGE_WEBHOOK_ENVTEST_INDEX"
"""Names a mirror of setup-envtest's index, for networks that have one."""
REACHABLE_WITHIN = 20.0
"""Seconds in which setup-envtest has to show what it offers."""


def main() -> int:
    """Obtain what is missing and print where everything is; 1 when it cannot be had."""
    try:
        obtain()
    except ObtainError as error:
        say(f"The control plane's programs cannot be obtained here: {error}. {_way_out()}")
        return 1
    for program in pins.PROGRAMS:
        print(binaries.path(program))
    return 0


def obtain() -> None:
    """Put every missing program into the cache; ObtainError when one cannot be had."""
    if not _missing(pins.PROGRAMS):
        return
    with (
        _alone(binaries.cache_directory()) as cache,
        TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch,
    ):
        missing = _missing(pins.PROGRAMS)  # another run may have obtained them while this one waited
        if missing:
            _fill(missing, cache, Path(scratch))


def _fill(missing: Sequence[Program], cache: Path, scratch: Path) -> None:
    say(f"Obtaining {', '.join(program.name for program in missing)} into {cache} (once)")
    private = cache / "toolchain"
    go = toolchain(max(pins.go_version(program) for program in (*missing, pins.SETUP_ENVTEST)), private)
    if any(program in pins.ENVTEST_PROGRAMS for program in missing):
        _download(go, scratch)
    _build_all(go, _missing(pins.PROGRAMS), scratch)
    shutil.rmtree(private, ignore_errors=True)


def _download(go: Toolchain, scratch: Path) -> None:
    try:
        assets = _run_setup_envtest(go, scratch)
    except ObtainError as error:
        say(f"No official archives here ({error})")
        return
    for program in pins.ENVTEST_PROGRAMS:
        _install(assets / program.name, binaries.downloaded(program))


def _run_setup_envtest(go: Toolchain, scratch: Path) -> Path:
    """The directory that holds the programs of the official archive."""
    say("Asking setup-envtest for the official archives")
    _build(go, pins.SETUP_ENVTEST, setup_envtest := scratch / "setup-envtest")
    options: list[str | Path] = ["--bin-dir", scratch / "assets", *_index(os.environ)]
    release = binaries.envtest_release()
    run([setup_envtest, "list", release, *options], go.environ, timeout=REACHABLE_WITHIN)
    say(f"Downloading Kubernetes {release} (about a minute)")
    return Path(
        run(
            [setup_envtest, "use", release, "--print", "path", *options],
            go.environ,
            progress=_clock("download"),
        )
    )


def _index(environ: Mapping[str, str]) -> list[str]:
    index = environ.get(INDEX)
    return ["--index", index] if index else []


def _build_all(go: Toolchain, programs: Sequence[Program], scratch: Path) -> None:
    if programs:
        say("Building from source, once: on two cores ten minutes or more, 2 GB of memory")
    for program in programs:
        _build(go, program, built := scratch / program.name)
        _install(built, binaries.built(program))


def _build(go: Toolchain, program: Program, target: Path) -> None:
    directory = pins.HERE / program.directory
    title = f"{program.name} {pins.version(program)}"
    say(f"{title}: loading modules")
    packages = run([go.go, "list", "-deps", program.package], go.environ, directory=directory, progress=_clock(title))
    compiled = _compiled(title, len(packages.splitlines()))
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in pins.stamps(program).items())])
    command: list[str | Path] = [go.go, "build", "-v", "-o", target, "-ldflags", flags, program.package]
    run(command, go.environ, directory=directory, progress=compiled)
    say(f"{title}: built")


def _compiled(title: str, packages: int) -> Callable[[int], None]:
    start = time.monotonic()
    # Packages that Go has compiled before are not named again, so the count may end below the total.
    return lambda count: say(f"{title}: {min(count, packages)} of up to {packages} packages, {_minutes(start)}")


def _clock(title: str) -> Callable[[int], None]:
    start = time.monotonic()
    return lambda _: say(f"{title}: {_minutes(start)}")


def _minutes(start: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    return f"{minutes} min {seconds:02} s"


def _install(source: Path, target: Path) -> None:
    """Move the program into place whole: a reader sees all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _missing(programs: Sequence[Program]) -> list[Program]:
    return [program for program in programs if binaries.find(program) is None]


@contextmanager
def _alone(cache: Path) -> Iterator[Path]:
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
        yield cache


def _way_out() -> str:
    names = ", ".join(program.name for program in pins.PROGRAMS)
    return (
        f"Run `make controlplane` where Go modules can be loaded, or name a directory with {names} in {binaries.ASSETS}"
    )


if __name__ == "__main__":
    sys.exit(main())
