"""containerd's images, imported once into the cache. Each node gets a copy whose files are hard links."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controlplane import binaries, pins
from tests.controlplane.console import ObtainError, say
from tests.controlplane.obtain import locked
from tests.initializer import environment
from tests.node import containerd, images, kerberos, namespaces, rootfs

START_WITHIN = 60.0
"""Seconds until containerd must accept connections."""


def directory() -> Path:
    """The imported images of these versions and this Python."""
    modules = [Path(str(module.__file__)) for module in (images, kerberos, rootfs)]
    sources = (environment.LOCK, environment.IN, environment.ENTRYPOINT, kerberos.LOCK, kerberos.IN, *modules)
    content = b"".join(path.read_bytes() for path in sources)
    decisive = content + sys.version.encode() + pins.version(pins.CONTAINERD).encode()
    return binaries.cache_directory() / f"images-{hashlib.sha256(decisive).hexdigest()[:12]}"


def copy(target: Path) -> None:
    """Copy containerd's files to `target`, in the same file system. Only its databases are written to later."""
    subprocess.run(["cp", "--archive", "--link", directory(), target], check=True)
    for database in target.rglob("*.db"):
        content = database.read_bytes()
        database.unlink()
        database.write_bytes(content)


def obtain() -> None:
    """Create the images and import them, once. Raises ObtainError or OSError if that fails."""
    if directory().exists():
        return
    cache = binaries.cache_directory()
    with locked(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as name:
        if not directory().exists():
            say("Creating the images for the node from this machine's Python (once, a minute)")
            scratch = Path(name)
            images.write_archive(scratch / "images.tar", scratch)
            _import(scratch / "images.tar", scratch)
            containerd.root(scratch).rename(directory())


def _import(archive: Path, scratch: Path) -> None:
    with namespaces.running(scratch, containerd.service(scratch)):
        _wait_for(scratch / containerd.SOCKET.name)
        containerd.ctr(scratch, "images", "import", archive)


def _wait_for(path: Path) -> None:
    end = time.monotonic() + START_WITHIN
    while not path.exists():
        if time.monotonic() > end:
            raise ObtainError(f"containerd did not start: {path.with_suffix('.log').read_text()[-1000:]}")
        time.sleep(0.05)
