"""The short soak test: correct responses during changes, failures and attacks."""

import subprocess
import sys

import pytest

from tests.controlplane import binaries


@pytest.mark.slow
def test_no_request_is_lost_during_changes():
    done = soak("steady")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_no_request_is_lost_to_bursts_attacks_restarts_and_kills():
    done = soak("burst", "tenant", "hostile", "roll", "kill")
    assert done.returncode == 0, done.stdout


def soak(*parts: str) -> "subprocess.CompletedProcess[str]":
    if missing := binaries.missing():
        pytest.fail(binaries.advice(missing), pytrace=False)
    options = [option for part in parts for option in ("--only", part)]
    command = [sys.executable, "-m", "benchmarks.soak", "--short", *options]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )
