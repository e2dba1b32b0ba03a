"""Debian's packages, downloaded and unpacked. Nothing is installed, and the machine's package lists do not change."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.controlplane.console import run

COMMANDS = ("apt-get", "dpkg-deb")


def unpack(packages: Sequence[str], scratch: Path, *, dependencies: bool = False) -> Path:
    """Unpack packages into a directory in `scratch`, and return it. apt verifies them.

    `dependencies`: also those that the packages depend on and that the machine does not have. Raises ObtainError if
    they cannot be downloaded.
    """
    lists, archives, target = scratch / "lists", scratch / "archives", scratch / "unpacked"
    for directory in (lists / "partial", archives / "partial", target):
        directory.mkdir(parents=True)
    options = {
        "Dir::State::Lists": lists,
        "Dir::Cache": scratch,
        "Dir::Cache::Archives": archives,
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    apt = (_program("apt-get"), "-q", *(f"-o{name}={value}" for name, value in options.items()))
    run([*apt, "update"], os.environ, directory=archives)
    command = ["install", "--yes", "--no-install-recommends", "--download-only"] if dependencies else ["download"]
    run([*apt, *command, *packages], os.environ, directory=archives)
    for package in archives.glob("*.deb"):
        run([_program("dpkg-deb"), "--extract", package, target], os.environ)
    return target


def environment(directory: Path) -> dict[str, str]:
    """The environment in which the shared libraries below a directory come before those of the machine."""
    libraries = sorted({str(path.parent) for path in directory.rglob("*.so*")})
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def _program(name: str) -> str:
    return shutil.which(name) or name
