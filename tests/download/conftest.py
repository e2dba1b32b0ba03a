import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.download.pods import Claim


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    """An empty claim."""
    root = tmp_path / "claim"
    root.mkdir()
    claim = Claim(root)
    yield claim
    claim.end()


@contextmanager
def small_volume(path: Path) -> Iterator[None]:
    """An empty volume with a size of 4 MiB, mounted at the path."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture
def small_claim(tmp_path: Path) -> Iterator[Claim]:
    """An empty claim with a size of 4 MiB."""
    claim = Claim(tmp_path / "claim")
    with small_volume(claim.root):
        try:
            yield claim
        finally:
            claim.end()


@pytest.fixture(params=["models", "my models", "a\\040b", "modèles"])
def inner_file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file of somebody else, in a volume that is mounted inside `model`, below a directory with such a name."""
    inner = tmp_path / request.param / "model" / "inner"
    with small_volume(inner):
        (inner / "results.txt").write_text("mine")
        yield inner / "results.txt"
