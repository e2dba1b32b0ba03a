"""Outcomes for pods, and observe mode."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import a_pod, answer, decide, plain_pod

OBSERVE = {"storageDefaults": {"mode": "observe", "allowReadWrite": False}}


@pytest.mark.parametrize("value", [None, [], "pod", 7, True])
def test_a_value_that_is_not_an_object_is_denied(value: Any) -> None:
    outcome = decide(value)
    assert (outcome.kind, outcome.code) == ("denied", 422)
    assert "must be an object" in outcome.message


@pytest.mark.parametrize(
    ("pod", "reason", "warning"),
    [
        (plain_pod("s3://b/m"), "injected", "would be injected, but observe mode changes nothing: "),
        (plain_pod("pvc://foo"), "injected", "would be injected, but observe mode changes nothing: "),
        (plain_pod(""), "denied", "would be denied: annotation storage.kserve.io/uri is empty"),
        (plain_pod("pvc://foo", annotations={"storage.kserve.io/readonly": "false"}), "denied", "would be denied: "),
        (
            plain_pod("pvc://foo", annotations={"storage.kserve.io/readonly": "no"}),
            "injected",
            "neither true nor false",
        ),
        ("pod", "denied", "would be denied: "),
    ],
)
def test_observe_mode_warns_and_changes_nothing(pod: Any, reason: str, warning: str) -> None:
    observed = answer(pod, OBSERVE)
    assert observed["allowed"] is True
    assert "patch" not in observed
    assert observed["auditAnnotations"]["outcome"] == "observed"
    assert observed["auditAnnotations"]["reason"] == reason
    assert any(warning in each for each in observed["warnings"])


def test_observe_mode_skips_pods_without_a_request() -> None:
    assert answer(a_pod(), OBSERVE)["auditAnnotations"] == {"outcome": "skipped", "reason": "no-uri"}


def test_observe_mode_recognizes_complete_pods() -> None:
    mount = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "readOnly": True}
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}}
    pod = plain_pod("pvc://foo", volumes=[volume])
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    observed = answer(pod, OBSERVE)
    assert observed["auditAnnotations"]["reason"] == "unchanged"
    assert "warnings" not in observed


def test_the_audit_annotation_has_each_scheme_once() -> None:
    uris = '[{"uri": "s3://a", "mountPath": "/mnt/a"}, {"uri": "s3://b", "mountPath": "/mnt/b"},'
    uris += '{"uri": "pvc://c", "mountPath": "/opt/c"}]'
    audit = answer(a_pod(annotations={"storage.kserve.io/uris": uris}))["auditAnnotations"]
    assert audit == {"outcome": "injected", "sources": "s3,pvc", "containers": "server"}
