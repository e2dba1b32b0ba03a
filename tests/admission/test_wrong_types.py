"""A field of the wrong type is denied or left alone: it never fails in the middle."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mutation import JsonObject, decide, plain_pod
from tests.test_bounded_work import PODS
from webhook import annotations as keys
from webhook.admission import deployments
from webhook.admission.outcome import Outcome
from webhook.admission.workloads import TEMPLATES, advise, template_of
from webhook.cluster.facts import NO_FACTS
from webhook.settings.parse import parse

SETTINGS = {
    "storageDefaults": {
        "readWriteReplicas": "single",
        "rollout": {
            "strategy": "Recreate",
            "progressDeadlineSeconds": 900,
            "terminationGracePeriodSeconds": 60,
            "enableServiceLinks": False,
            "podSecurityContext": {"fsGroup": 1000},
        },
    }
}
WRONG: tuple[Any, ...] = (None, True, 1, -1.5, "", "a", [], ["a"], [None], [[]], {}, {"a": None}, {"name": 1})
DEPLOYMENT: JsonObject = {
    "kind": "Deployment",
    "metadata": {
        "name": "iris",
        "labels": {"a": "b"},
        "annotations": {keys.PROGRESS_DEADLINE: "30m", keys.URI: "s3://misplaced/model"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "controller": True}],
        "managedFields": [{"manager": "a", "fieldsV1": {"f:spec": {"f:strategy": {}}}}],
    },
    "spec": {
        "replicas": 3,
        "minReadySeconds": 5,
        "progressDeadlineSeconds": 600,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    },
}


def _deployment(uri: str, **annotations: str) -> JsonObject:
    template = plain_pod(uri, annotations=annotations)
    template["spec"] |= {
        "terminationGracePeriodSeconds": 30,
        "enableServiceLinks": True,
        "securityContext": {"runAsUser": 1},
    }
    found = copy.deepcopy(DEPLOYMENT)
    found["spec"]["template"] = template
    return found


def _wrong(value: Any) -> Iterator[Any]:
    """Copies of a JSON value, each with another value in the place of one that it contains."""
    for wrong in WRONG:
        yield wrong
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        for wrong in _wrong(inner):
            copied = copy.copy(value)
            copied[key] = wrong
            yield copied


def _outcomes(deployment: Any, old: Any) -> tuple[Outcome, Outcome]:
    """Of the webhook for Deployments, and of the one for workloads. Raises what would be logged as a traceback."""
    settings, _ = parse(SETTINGS)
    request = deployments.read(deployment, "models", settings)
    if not isinstance(request, Outcome):
        request = deployments.apply(deployment, old, request, settings, NO_FACTS)
    path = TEMPLATES["apps", "Deployment"]
    template = template_of(deployment, old, path)
    if not isinstance(template, Outcome):
        template = advise(deployment, path, decide(template, SETTINGS), settings)
    return request, template


def _is_explained(outcome: Outcome) -> bool:
    """Whether the object is admitted, or denied with a reason; not failed, which asks to try again."""
    return outcome.allowed or (outcome.kind == "denied" and bool(outcome.message))


@pytest.mark.parametrize("uri", ["pvc://claim/model", "s3://bucket/model"])
def test_a_wrong_type_in_a_deployment(uri: str) -> None:
    deployment = _deployment(uri, **{keys.READ_ONLY: "false"})
    for wrong in _wrong(deployment):
        of_deployment, of_workload = _outcomes(wrong, None)
        assert _is_explained(of_deployment), wrong
        assert of_workload.allowed, wrong


def test_a_wrong_type_in_a_deployment_before_its_update() -> None:
    deployment = _deployment("pvc://claim/model")
    for wrong in _wrong(_deployment("pvc://claim/other")):
        of_deployment, of_workload = _outcomes(deployment, wrong)
        assert _is_explained(of_deployment), wrong
        assert of_workload.allowed, wrong


@pytest.mark.parametrize("name", PODS)
def test_a_wrong_type_in_a_pod(name: str) -> None:
    for wrong in _wrong(PODS[name]):
        assert _is_explained(decide(wrong)), wrong
