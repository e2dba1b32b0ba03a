import os
import subprocess
from collections.abc import Iterator
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


@pytest.fixture
def small_claim(tmp_path: Path) -> Iterator[Claim]:
    """An empty claim with a size of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    root = tmp_path / "claim"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root], check=True)
    claim = Claim(root)
    try:
        yield claim
    finally:
        claim.end()
        subprocess.run(["umount", root], check=True)
