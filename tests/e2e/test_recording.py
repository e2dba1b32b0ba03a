"""The recorded reviews of the golden cases equal those that the API server sends."""

import json

import pytest

from tests.fixtures.record import VERSION, recorder
from tests.golden import cases


def test_recorded_reviews_are_up_to_date(api, authority, tmp_path):
    if api.plane.version() != VERSION.read_text().strip():
        pytest.skip("the reviews were recorded with another release of the API server")
    with recorder(api, authority, tmp_path) as recording:
        changed = [case.name for case in cases() if recording.record(case) != json.loads(case.body)]
    assert changed == [], "run make record, and review the changes"
