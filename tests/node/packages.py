"""runc, the CNI plugins and a registry from Debian's packages, unpacked into the cache. Nothing is installed."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries, debian
from tests.controlplane.console import say
from tests.controlplane.obtain import locked

PACKAGES = ("runc", "containernetworking-plugins", "docker-registry")


def directory() -> Path:
    """Where the packages are unpacked."""
    return binaries.cache_directory() / f"packages-{hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:12]}"


def runc() -> Path:
    """The directory with the program runc."""
    return directory() / "usr" / "sbin"


def cni() -> Path:
    """The directory with the CNI plugins."""
    return directory() / "usr" / "lib" / "cni"


def registry() -> Path:
    """The program docker-registry."""
    return directory() / "usr" / "bin" / "docker-registry"


def obtain() -> None:
    """Unpack the packages into the cache, once. Raises ObtainError if they cannot be downloaded."""
    if directory().exists():
        return
    cache = binaries.cache_directory()
    with locked(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
        if not directory().exists():
            say(f"Downloading Debian's packages {', '.join(PACKAGES)}")
            debian.unpack(PACKAGES, Path(scratch)).rename(directory())
