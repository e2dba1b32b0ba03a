"""Where the programs are: $KUBEBUILDER_ASSETS, then the cache. Looking for them changes nothing."""

import os
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.controlplane import pins
from tests.controlplane.pins import Program

ASSETS = "KUBEBUILDER_ASSETS"
CACHE = "STORAGE_WEBHOOK_CONTROLPLANE_CACHE"


class MissingBinaryError(Exception):
    """A program is nowhere; the message names it and says how to get it."""


def find(program: Program, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The program's path, or None when it has to be obtained first."""
    return next((path for path in _places(program, environ) if os.access(path, os.X_OK)), None)


def missing(environ: Mapping[str, str] = os.environ) -> list[Program]:
    """The programs the tests need that have to be obtained first."""
    return [program for program in pins.PROGRAMS if find(program, environ) is None]


def advice(programs: Sequence[Program]) -> str:
    """One line on how to get the programs that are missing."""
    names = ", ".join(program.name for program in programs)
    return f"Missing: {names}. Run `make controlplane` with network access, or name their directory in {ASSETS}"


def path(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """The program's path; MissingBinaryError when it has to be obtained first."""
    found = find(program, environ)
    if found is None:
        raise MissingBinaryError(advice([program]))
    return found


def environ() -> dict[str, str]:
    """What the programs are best run with: they do not live long, and garbage is a third to a half of what they do."""
    return {**os.environ, "GOGC": "off", "GOMEMLIMIT": "1GiB"}


def helm() -> Path:
    return path(pins.HELM)


def kubectl() -> Path:
    return path(pins.KUBECTL)


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$STORAGE_WEBHOOK_CONTROLPLANE_CACHE, or a directory in the user's cache: outside the checkout."""
    if named := environ.get(CACHE):
        return Path(named).absolute()
    home = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "storage-initializer-webhook" / "controlplane"


def built(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the build of the pinned version is kept."""
    return _platform_cache(environ) / f"{program.directory}-{pins.version(program)}" / program.name


def downloaded(program: Program, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the program from an official archive is kept. Not every patch release has an archive."""
    return _platform_cache(environ) / f"envtest-{envtest_release()}" / program.name


def envtest_release() -> str:
    """The minor release asked of setup-envtest: `1.35.x`."""
    major, minor = pins.numbers(pins.version(pins.KUBE_APISERVER))[:2]
    return f"{major}.{minor}.x"


def _places(program: Program, environ: Mapping[str, str]) -> Iterator[Path]:
    if assets := environ.get(ASSETS):
        yield Path(assets) / program.name
    if program in pins.ENVTEST_PROGRAMS:
        yield downloaded(program, environ)
    yield built(program, environ)


def _platform_cache(environ: Mapping[str, str]) -> Path:
    return cache_directory(environ) / sysconfig.get_platform()
