"""Checks of the claims that a pod mounts."""

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
    "read-write once pod": (READ_WRITE, ["ReadWriteOncePod"], "only one pod at a time"),
    "copied": (
        plain_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"}),
        None,
        'claim "models" does not exist',
    ),
}


@pytest.mark.parametrize(("pod", "modes", "words"), FINDINGS.values(), ids=FINDINGS)
def test_finding_is_a_warning_or_a_denial(pod: JsonObject, modes: list[str] | None, words: str) -> None:
    objects = [] if modes is None else [claim("models", *modes)]
    (warning,) = warnings(pod, *objects, settings=READ)
    assert words in warning
    assert words in denial(pod, *objects, settings=DENY)
    assert admitted(pod, *objects, settings=READ) == admitted(pod)


SUITABLE: dict[str, tuple[JsonObject, list[str]]] = {
    "read-only many": (READ_ONLY, ["ReadOnlyMany"]),
    "read-write once, read-only": (READ_ONLY, ["ReadWriteOnce"]),
    "read-write many": (READ_WRITE, ["ReadWriteMany"]),
    "all": (READ_WRITE, ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
    "unknown modes": (READ_WRITE, []),
}


@pytest.mark.parametrize(("pod", "modes"), SUITABLE.values(), ids=SUITABLE)
def test_suitable_claim_is_not_warned_about(pod: JsonObject, modes: list[str]) -> None:
    assert warnings(pod, claim("models", *modes), settings=DENY) == []


def test_every_claim_of_the_pod_is_checked() -> None:
    found = warnings(several(("pvc://a/x", "/mnt/a"), ("pvc://b/y", "/mnt/b")), settings=READ)
    assert [warning.split()[1] for warning in found] == ['"a"', '"b"']


@pytest.mark.parametrize("settings", [None, {"storageDefaults": {"claims": {"read": False}}}])
def test_claims_are_not_checked_without_the_setting(settings: dict[str, Any] | None) -> None:
    assert warnings(READ_WRITE, settings=settings) == []
