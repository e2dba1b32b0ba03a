"""Every golden case: the AdmissionReview's bytes in, the expected pod or denial out."""

from __future__ import annotations

import pytest

from tests.golden import Case, cases
from tests.overlay import overlaid


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_pod_becomes_what_is_expected(case: Case) -> None:
    expected, found = case.expected, case.outcome()
    assert expected.pop("message", "") in found.pop("message", "")
    if "pod" in expected:
        expected["pod"] = overlaid(case.pod, expected["pod"])
    assert found == expected
