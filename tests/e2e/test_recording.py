"""The recorded reviews of the golden cases are what the API server sends."""

import json

import pytest

from tests.fixtures.record import VERSION, recorder
from tests.golden import cases


def test_recording_again_changes_nothing(api, authority, tmp_path):
    if api.plane.version() != VERSION.read_text().strip():
        pytest.skip("this API server is of another release than the one that was recorded")
    with recorder(api, authority, tmp_path) as recording:
        changed = [case.name for case in cases() if recording.record(case) != json.loads(case.body)]
    assert changed == [], "run make record, and read what changed"
