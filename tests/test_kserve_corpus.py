"""Every difference from what KServe's own webhook responded is intended and documented."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.kserve_corpus import ABSENT, ADMITTED, DENIED, DIFFERENCES, Case, Difference, Pair, cases
from webhook.admission.outcome import Outcome

DOCUMENT = Path(__file__).parents[1] / "docs" / "migrating-from-kserve.md"
_SHOWN = 20
_EVERY = 20


def _unexplained(case: Case) -> Iterator[str]:
    outcome = case.decide()
    admitted_by_kserve = "pod" in case.kserve
    if admitted_by_kserve and outcome.allowed:
        pair = Pair.of(case, outcome)
        for given in pair.differences():
            if not any(kind.explains(pair, given) for kind in DIFFERENCES):
                yield f"{'/'.join(given.path)}: KServe {given.kserve}, this webhook {given.ours}"
    elif admitted_by_kserve and not any(kind.explains(case, outcome) for kind in DENIED):
        yield f"denied: {outcome.message}"
    elif outcome.allowed and not any(kind.explains(case, outcome) for kind in ADMITTED):
        yield f"{outcome.kind}, where KServe fails"


def test_every_difference_from_kserve_is_intended() -> None:
    found = (f"pod {case.id}: {problem}" for case in cases() for problem in _unexplained(case))
    shown = list(islice(found, _SHOWN))
    assert not shown, "\n".join(shown)


def _admitted() -> Iterator[tuple[Case, Outcome]]:
    for case in islice(cases(), 0, None, _EVERY):
        if "pod" in case.kserve and (outcome := case.decide()).allowed:
            yield case, outcome


def _wrong_values(value: Any) -> Iterator[Any]:
    """The field without a value, and with a value that nobody sets."""
    yield ABSENT
    if isinstance(value, dict):
        yield {**value, "unknown": "x"}
    elif isinstance(value, list):
        yield [*value, "unknown"]
    else:
        yield "unknown"


def _wrong_pods(pair: Pair) -> Iterator[tuple[Pair, Difference]]:
    for path, value in pair.ours.items():
        for wrong in _wrong_values(value):
            changed = {**pair.ours, path: wrong}
            if wrong is ABSENT:
                del changed[path]
            given = Difference(path, pair.kserve.get(path, ABSENT), wrong)
            if given.kserve != given.ours:
                yield pair._replace(ours=changed), given


def test_no_class_explains_a_wrong_field() -> None:
    """Each field of each pod in turn is removed or changed, and must not be explained."""
    explained = [
        f"pod {case.id}: {kind.name} explains {'/'.join(given.path)}: {given.ours}"
        for case, outcome in _admitted()
        for pair, given in _wrong_pods(Pair.of(case, outcome))
        for kind in DIFFERENCES
        if kind.explains(pair, given)
    ]
    assert not explained, "\n".join(explained[:_SHOWN])


@pytest.mark.parametrize("kind", [*DIFFERENCES, *DENIED, *ADMITTED], ids=lambda kind: kind.name)
def test_every_class_is_documented(kind: Any) -> None:
    assert f"| {kind.name} | {kind.sentence} |\n" in DOCUMENT.read_text(encoding="utf-8")


def test_class_names_are_unique() -> None:
    names = [each.name for kinds in (DIFFERENCES, DENIED, ADMITTED) for each in kinds]
    assert len(names) == len(set(names))
