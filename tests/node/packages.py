"""runc and the CNI plugins from Debian's packages, unpacked into the cache. Nothing is installed."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries
from tests.controlplane.console import run, say
from tests.controlplane.obtain import locked

PACKAGES = ("runc", "containernetworking-plugins")


def directory() -> Path:
    """Where the packages are unpacked."""
    return binaries.cache_directory() / "packages"


def runc() -> Path:
    """The directory with the program runc."""
    return directory() / "usr" / "sbin"


def cni() -> Path:
    """The directory with the CNI plugins."""
    return directory() / "usr" / "lib" / "cni"


def obtain() -> None:
    """Unpack the packages into the cache, once. Raises ObtainError if they cannot be downloaded."""
    if directory().exists():
        return
    cache = binaries.cache_directory()
    with locked(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
        if not directory().exists():
            say(f"Downloading Debian's packages {', '.join(PACKAGES)}")
            _unpack(Path(scratch)).rename(directory())


def _unpack(scratch: Path) -> Path:
    """Download with package lists of our own, so that the machine's need not be current and do not change."""
    lists, target = scratch / "lists", scratch / "unpacked"
    (lists / "partial").mkdir(parents=True)
    target.mkdir()
    options = ("-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={scratch}", "-o", "APT::Sandbox::User=root")
    apt = (shutil.which("apt-get") or "apt-get", *options)
    run([*apt, "update"], os.environ, directory=scratch)
    run([*apt, "download", *PACKAGES], os.environ, directory=scratch)
    for package in scratch.glob("*.deb"):
        run([shutil.which("dpkg-deb") or "dpkg-deb", "--extract", package, target], os.environ)
    return target
