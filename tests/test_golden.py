"""Every golden case: an AdmissionReview gives the expected pod or denial."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden import Case, cases, described, injected_cases
from tests.mutation import response
from tests.overlay import overlaid
from tests.strategies import spoiled
from webhook.pod.diff import diff

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_result_is_as_expected(case: Case) -> None:
    expected, found = case.expected, case.outcome()
    assert expected.pop("message", "") in found.pop("message", "")
    if "pod" in expected:
        expected["pod"] = overlaid(case.pod, expected["pod"])
    assert found == expected


@pytest.mark.parametrize("case", injected_cases(), ids=lambda case: case.name)
def test_a_second_call_changes_nothing(case: Case) -> None:
    outcome = case.decide(case.pod)
    assert diff(case.decide(outcome.mutated).mutated or outcome.mutated, outcome.mutated) == []


def _spoiled_case(case: Case) -> st.SearchStrategy[tuple[Case, Any]]:
    pod = case.pod
    del pod["metadata"]["managedFields"]
    return st.tuples(st.just(case), spoiled(pod))


@given(st.sampled_from(CASES).flatmap(_spoiled_case))
def test_invalid_pods_get_a_response(spoiled_case: tuple[Case, Any]) -> None:
    case, pod = spoiled_case
    before = copy.deepcopy(pod)
    answer = response(pod, case.decide(pod))
    assert diff(before, pod) == []
    assert described(answer, pod)["outcome"]
