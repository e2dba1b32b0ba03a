"""A separate virtual environment with kserve-storage and an S3 server, because their dependencies differ from ours.

It is created from requirements.lock in `.cache/` of the checkout (`make clean` removes it), and again when the lock
file changes. Creating it needs the package index.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
IN = HERE / "requirements.in"
LOCK = HERE / "requirements.lock"
ENTRYPOINT = HERE / "entrypoint.py"
"""The script for `initializer_python()`. It takes the arguments of the init container."""


def initializer_python() -> Path:
    """The Python interpreter of the environment. Fails the test if the environment cannot be created."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = HERE.parents[1] / ".cache" / f"initializer-{digest}"
    home.parent.mkdir(exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "created").exists():
            _create(home)
    return home / "bin" / "python3"


def _create(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(home))
    _uv("pip", "install", "--quiet", "--python", str(home / "bin" / "python3"), "--require-hashes", "-r", str(LOCK))
    (home / "created").touch()


def _uv(*args: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(
            f"kserve-storage could not be installed; the package index must be reachable once.\n{done.stderr}", False
        )
