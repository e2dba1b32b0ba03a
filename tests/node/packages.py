"""runc and the CNI plugins from Debian's packages, unpacked into the cache. Nothing is installed."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries, debian
from tests.controlplane.console import say
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
            debian.unpack(PACKAGES, Path(scratch)).rename(directory())
