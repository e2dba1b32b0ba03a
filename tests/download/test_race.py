"""Fifty pods race for one model while some are killed: one download completes, and no partial model is visible."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RACES = 2
"""Number of parallel races: rounds mostly wait."""


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """Number of rounds; fewer when slow tests are deselected."""
    return 10 if "not slow" in request.config.getoption("-m") else 200


def test_one_download_completes_and_no_partial_model_is_visible(tmp_path: Path, rounds: int):
    results = run_races(tmp_path, rounds)
    assert len(results) == rounds
    for result in results:
        assert result["failed"] == [], result
        assert result["wrong"] == [], result
        assert len(result["identities"]) == 1, result
        assert result["removed"] == 0, result
        expected = [] if result["recorded_was_killed"] else [result["recorded"]]
        assert result["completed_by"] == expected, result
        assert result["recorded_was_killed"] or not result["leftovers"], result
    assert sum(result["downloads"] for result in results) > rounds, "no download was ever interrupted"


def run_races(folder: Path, rounds: int) -> list[dict[str, Any]]:
    races = []
    for seed in range(RACES):
        root = folder / f"race-{seed}"
        root.mkdir()
        command = [sys.executable, "-m", "tests.download.race", str(root), str(rounds // RACES), str(seed)]
        races.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return [json.loads(line) for race in races for line in race.communicate()[0].splitlines()]
