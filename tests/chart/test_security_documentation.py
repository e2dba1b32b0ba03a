"""docs/security.md gives a reason for every permission of the chart."""

import re
from pathlib import Path

import pytest

from tests.chart.rendering import VALUE_SETS, of_kind, render, values

pytestmark = pytest.mark.e2e  # helm comes with the control plane

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
RULES = re.findall(r"^\| ((?:get|list|create)[^|]*) \|", TEXT, re.MULTILINE)
EVERYTHING = values(audit__everySeconds=600, events=True, storageDefaults__claims__read=True)


@pytest.mark.parametrize("path", [None, *VALUE_SETS], ids=lambda path: path.name if path else "everything")
def test_every_permission_has_a_reason(path):
    objects = render(*(["--values", path] if path else EVERYTHING))
    roles = [*of_kind("Role", objects), *of_kind("ClusterRole", objects)]
    granted = {
        (verb, resource)
        for role in roles
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert [each for each in sorted(granted) if not _has_reason(*each)] == []


def _has_reason(verb, resource):
    words = [set(re.findall(r"[a-z]+", rule.lower())) for rule in RULES]
    return any(verb in each and {resource, resource.removesuffix("s")} & each for each in words)
