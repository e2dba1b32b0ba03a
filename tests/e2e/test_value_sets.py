"""Every value set in ci/ is installed by helm, upgraded to the next one in a ring, and uninstalled."""

import json
from pathlib import Path

import pytest

from tests import yamls
from tests.chart.rendering import CHART, VALUE_SETS, helm
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import eventually
from tests.e2e.inventory import inventory

NEXT = dict(zip(VALUE_SETS, [*VALUE_SETS[1:], VALUE_SETS[0]], strict=True))
# It has ValidatingAdmissionPolicies, whatever the API server serves.
POLICIES = CHART / "ci" / "self-managed-values.yaml"
# What helm stores of a release, and what the API server stores of each Service.
RECORDS = ("secrets/sh.helm.release.", "ipaddresses/")
# Without the chart's name, so that the full name has both.
RELEASE = "ring"
NAMESPACE = "chart-ring"


@pytest.mark.parametrize("first", VALUE_SETS, ids=lambda path: path.name)
def test_value_set_is_installed_upgraded_and_removed(control_plane, api, prerequisites, first):
    if POLICIES in (first, NEXT[first]):
        api.require(30)
    api.namespace(NAMESPACE)
    before = inventory(api.http)
    try:
        for command, path in (("install", first), ("upgrade", NEXT[first])):
            release = json.loads(_helm(control_plane, command, RELEASE, CHART, "--values", path, "--output", "json"))
            manifest = yamls.documents(release["manifest"])
            added = {each for each in inventory(api.http) - before if not any(record in each for record in RECORDS)}
            assert added == set(map(api.path, manifest))
    finally:
        _helm(control_plane, "uninstall", RELEASE, "--ignore-not-found")
    eventually(lambda: inventory(api.http) == before)


def _helm(plane: ControlPlane, *command: str | Path) -> str:
    run = helm(*command, "--namespace", NAMESPACE, "--kubeconfig", str(plane.kubeconfig))
    assert run.returncode == 0, run.stderr
    return run.stdout
