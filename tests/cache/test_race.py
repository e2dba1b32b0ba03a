"""Fifty pods race for one model while some are killed: one download completes, and nothing partial is ever seen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RACES = 2
"""How many run at a time; rounds spend much of their time waiting."""


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """A few, where the slow tests are left out."""
    return 10 if "not slow" in request.config.getoption("-m") else 200


def test_one_download_completes_and_nothing_partial_is_seen(tmp_path: Path, rounds: int):
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
        command = [sys.executable, "-m", "tests.cache.race", str(root), str(rounds // RACES), str(seed)]
        races.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return [json.loads(line) for race in races for line in race.communicate()[0].splitlines()]
