"""What is said of the claims that a pod mounts, when claims may be read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import admitted, claim, denial, warnings
from tests.mutation import JsonObject, plain_pod, several

READ = {"storageDefaults": {"claims": {"read": True}}}
DENY = {"storageDefaults": {"claims": {"read": True, "deny": True}}}

READ_ONLY = plain_pod("pvc://models/iris")
READ_WRITE = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/readonly": "false"})

FINDINGS: dict[str, tuple[JsonObject, list[str] | None, str]] = {
    "missing": (READ_ONLY, None, 'claim "models" does not exist in namespace "models"'),
    "missing, read-write": (READ_WRITE, None, "does not exist"),
    "read-only many": (READ_WRITE, ["ReadOnlyMany"], "allows only ReadOnlyMany"),
    "read-write once": (READ_WRITE, ["ReadWriteOnce"], "only pods on one node"),
    "read-write once and read-only many": (READ_WRITE, ["ReadWriteOnce", "ReadOnlyMany"], "only pods on one node"),
    "read-write once for one pod": (READ_WRITE, ["ReadWriteOncePod"], "only one pod at a time"),
    "copied": (
        plain_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"}),
        None,
        'claim "models" does not exist',
    ),
}


@pytest.mark.parametrize(("pod", "modes", "words"), FINDINGS.values(), ids=FINDINGS)
def test_a_finding_is_a_warning_and_a_denial_where_the_settings_want_that(
    pod: JsonObject, modes: list[str] | None, words: str
) -> None:
    held = [] if modes is None else [claim("models", *modes)]
    (warning,) = warnings(pod, *held, settings=READ)
    assert words in warning
    assert words in denial(pod, *held, settings=DENY)
    assert admitted(pod, *held, settings=READ) == admitted(pod)


FINE: dict[str, tuple[JsonObject, list[str]]] = {
    "read-only many": (READ_ONLY, ["ReadOnlyMany"]),
    "read-write once, read-only": (READ_ONLY, ["ReadWriteOnce"]),
    "read-write many": (READ_WRITE, ["ReadWriteMany"]),
    "all": (READ_WRITE, ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
    "not known": (READ_WRITE, []),
}


@pytest.mark.parametrize(("pod", "modes"), FINE.values(), ids=FINE)
def test_nothing_is_said_of_a_claim_that_fits(pod: JsonObject, modes: list[str]) -> None:
    assert warnings(pod, claim("models", *modes), settings=DENY) == []


def test_every_claim_of_the_pod_is_looked_at() -> None:
    found = warnings(several(("pvc://a/x", "/mnt/a"), ("pvc://b/y", "/mnt/b")), settings=READ)
    assert [warning.split()[1] for warning in found] == ['"a"', '"b"']


@pytest.mark.parametrize("settings", [None, {"storageDefaults": {"claims": {"read": False}}}])
def test_without_the_setting_claims_are_not_looked_at(settings: dict[str, Any] | None) -> None:
    assert warnings(READ_WRITE, settings=settings) == []
