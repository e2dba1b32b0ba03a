from pathlib import Path

import pytest

from tests.cache.pods import Claim


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    root = tmp_path / "claim"
    root.mkdir()
    return Claim(root)
