"""A virtual environment of its own with kserve-storage and an S3 server; its dependencies are not ours.

Made once from requirements.lock in `.cache/` of the checkout (`make clean` removes it) and made anew when the
lock changes. Needs the package index the first time.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
ENTRYPOINT = HERE / "entrypoint.py"
"""Run by `initializer_python()` with the arguments that the init container gets: URI, directory, and so on."""


def initializer_python() -> Path:
    """The environment's interpreter; it has kserve-storage. Fails the test when it cannot be made."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = HERE.parents[1] / ".cache" / f"initializer-{digest}"
    home.parent.mkdir(exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "made").exists():
            _make(home)
    return home / "bin" / "python3"


def _make(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(home))
    _uv("pip", "install", "--quiet", "--python", str(home / "bin" / "python3"), "--require-hashes", "-r", str(LOCK))
    (home / "made").touch()


def _uv(*args: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"kserve-storage could not be installed; it needs the package index once.\n{done.stderr}", False)
