"""Paths of the programs: in $KUBEBUILDER_ASSETS, else in the cache. Nothing here writes files."""

import os
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.controlplane import pins
from tests.controlplane.pins import Program

ASSETS = "KUBEBUILDER_ASSETS"
CACHE = "CONTROLPLANE_CACHE"


class MissingBinaryError(Exception):
    """A program was not found; the message names it and says how to obtain it."""


def find(program: Program, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The program's path, or None if it must be obtained first."""
    return next((path for path in _candidates(program, environ) if os.access(path, os.X_OK)), None)


def missing(programs: Sequence[Program] = pins.PROGRAMS, environ: Mapping[str, str] = os.environ) -> list[Program]:
    """Those of the programs that must be obtained first."""
    return [program for program in programs if find(program, environ) is None]


def advice(programs: Sequence[Program]) -> str:
    """One line that says how to obtain the missing programs."""
    names = ", ".join(program.name for program in programs)
    return f"Missing: {names}. Run `make controlplane` with network access, or set {ASSETS} to their directory"


def path(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """The program's path. Raises MissingBinaryError if it must be obtained first."""
    found = find(program, environ)
    if found is None:
        raise MissingBinaryError(advice([program]))
    return found


def environ() -> dict[str, str]:
    """Environment for the programs. Without garbage collection, which takes a third to half of their short lifetime."""
    return {**os.environ, "GOGC": "off", "GOMEMLIMIT": "1GiB"}


def helm() -> Path:
    return path(pins.HELM)


def kubectl() -> Path:
    return path(pins.KUBECTL)


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$CONTROLPLANE_CACHE, or a directory in the user's cache: outside the checkout."""
    if named := environ.get(CACHE):
        return Path(named).absolute()
    home = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "storage-initializer-webhook" / "controlplane"


def built(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """Path of a build of the pinned version."""
    return _platform_cache(environ) / f"{program.directory}-{pins.version(program)}" / program.name


def downloaded(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """Path of the program from an official archive. Not every patch release has an archive."""
    return _platform_cache(environ) / f"envtest-{envtest_release()}" / program.name


def envtest_release() -> str:
    """The minor release to request from setup-envtest: `1.35.x`."""
    major, minor = pins.numbers(pins.version(pins.KUBE_APISERVER))[:2]
    return f"{major}.{minor}.x"


def _candidates(program: Program, environ: Mapping[str, str]) -> Iterator[Path]:
    if assets := environ.get(ASSETS):
        yield Path(assets) / program.name
    if program in pins.ENVTEST_PROGRAMS:
        yield downloaded(program, environ)
    yield built(program, environ)


def _platform_cache(environ: Mapping[str, str]) -> Path:
    return cache_directory(environ) / sysconfig.get_platform()
