"""What the tests with a node keep in the cache."""

import os
import time
from pathlib import Path

from tests.node.unused import mark_used, remove_unused

DAY = 86400


def test_versions_that_no_run_used_for_days_are_removed(tmp_path: Path) -> None:
    ages = {"images-now": 30, "images-old": 8, "images-other": 6, "images-used": 30, "packages-old": 30}
    for name, days in ages.items():
        (tmp_path / name / "content").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - days * DAY,) * 2)
    mark_used(tmp_path / "images-used")
    remove_unused(tmp_path / "images-now", days=7)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["images-now", "images-other", "images-used", "packages-old"]
