"""The short soak: nothing lost and nothing wrong while everything around the webhook changes and breaks."""

import subprocess
import sys

import pytest

from tests.controlplane import binaries


@pytest.mark.slow
def test_the_short_soak_loses_nothing():
    if missing := binaries.missing():
        pytest.fail(binaries.advice(missing), pytrace=False)
    command = [sys.executable, "-m", "benchmarks.soak", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
