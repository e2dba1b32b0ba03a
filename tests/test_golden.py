"""Every golden case: the AdmissionReview's bytes in, the expected pod or denial out."""

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
from webhook.diff import diff

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_pod_becomes_what_is_expected(case: Case) -> None:
    expected, found = case.expected, case.outcome()
    assert expected.pop("message", "") in found.pop("message", "")
    if "pod" in expected:
        expected["pod"] = overlaid(case.pod, expected["pod"])
    assert found == expected


@pytest.mark.parametrize("case", injected_cases(), ids=lambda case: case.name)
def test_a_pod_that_was_injected_needs_nothing_more(case: Case) -> None:
    outcome = case.decide(case.pod)
    assert diff(case.decide(outcome.pod).pod or outcome.pod, outcome.pod) == []


def _spoiled_case(case: Case) -> st.SearchStrategy[tuple[Case, Any]]:
    pod = case.pod
    del pod["metadata"]["managedFields"]
    return st.tuples(st.just(case), spoiled(pod))


@given(st.sampled_from(CASES).flatmap(_spoiled_case))
def test_no_pod_is_too_strange_for_what_the_cluster_holds(spoiled_case: tuple[Case, Any]) -> None:
    case, pod = spoiled_case
    before = copy.deepcopy(pod)
    answer = response(pod, case.decide(pod))
    assert diff(before, pod) == []
    assert described(answer, pod)["outcome"]
