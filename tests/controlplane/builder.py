"""Build a pinned program with Go, and report progress."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.controlplane import pins
from tests.controlplane.console import run, say
from tests.controlplane.pins import Program
from tests.controlplane.toolchain import Toolchain


def build(program: Program, target: Path, toolchain: Toolchain) -> None:
    """Build the program as `target`. Go writes temporary files to the same directory.

    Raises ObtainError when modules cannot be loaded or compiled.
    """
    title = f"{program.name} {pins.version(program)}"
    go = partial(_go, toolchain, pins.HERE / program.directory, target.parent)
    say(f"{title}: loading modules")
    packages = go(["list", "-deps", program.package], clock(title)).splitlines()
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in pins.stamps(program).items())])
    options = ["-v", "-o", str(target), "-ldflags", flags]
    go(["build", *options, program.package], _counter(title, len(packages)))
    say(f"{title}: built")


def clock(title: str) -> Callable[[int], None]:
    """A progress callback that reports the elapsed time."""
    start = time.monotonic()
    return lambda _: say(f"{title}: {_minutes(start)}")


def _counter(title: str, packages: int) -> Callable[[int], None]:
    start = time.monotonic()
    # Go does not list packages that it has compiled before, so the count may end below the total.
    return lambda count: say(f"{title}: {min(count, packages)} of up to {packages} packages, {_minutes(start)}")


def _minutes(start: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    return f"{minutes} min {seconds:02} s"


def _go(
    toolchain: Toolchain, directory: Path, scratch: Path, arguments: list[str], progress: Callable[[int], None]
) -> str:
    environ = {**toolchain.environ, "GOTMPDIR": str(scratch)}
    return run([toolchain.go, *arguments], environ, directory=directory, progress=progress)
