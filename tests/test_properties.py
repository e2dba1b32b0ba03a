"""Properties of all steps for all pods."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

from hypothesis import assume, given

from tests import strategies
from tests.mutation import JsonObject, decide, decide_with, patched, plain_pod, response
from webhook import annotations as keys
from webhook.admission.outcome import Outcome
from webhook.cluster.facts import Facts, Secret, ServiceAccount
from webhook.pod.diff import diff
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings
from webhook.settings.parse import parse
from webhook.steps import REINVOCATION_STEPS, STEPS, Step


@given(strategies.pods(), strategies.settings)
def test_a_second_call_changes_nothing(pod: JsonObject, settings: JsonObject) -> None:
    injected = _mutated(pod, settings)
    assert patched(injected, response(injected, decide(injected, settings))) == injected


@given(strategies.pods(), strategies.settings)
def test_the_received_pod_is_never_modified(pod: JsonObject, settings: JsonObject) -> None:
    before = copy.deepcopy(pod)
    decide(pod, settings)
    assert diff(before, pod) == []


@given(strategies.pods(), strategies.settings)
def test_the_patch_gives_exactly_the_mutated_pod(pod: JsonObject, settings: JsonObject) -> None:
    outcome = _injected(pod, settings)
    assert diff(patched(pod, response(pod, outcome)), outcome.mutated) == []


@given(strategies.pods(), strategies.settings)
def test_equal_pods_get_equal_responses(pod: JsonObject, settings: JsonObject) -> None:
    other = copy.deepcopy(pod)
    assert response(pod, decide(pod, settings)) == response(other, decide(other, settings))


@given(strategies.pods(), strategies.settings)
def test_unknown_fields_are_preserved(pod: JsonObject, settings: JsonObject) -> None:
    injected = _mutated(pod, settings)
    before = _unknown(pod)
    # Added containers, such as modelcars, follow those of the pod.
    assert _unknown(injected)[: len(before)] == before


@given(strategies.pods(), strategies.settings)
def test_containers_volumes_and_mount_paths_stay_unique(pod: JsonObject, settings: JsonObject) -> None:
    spec = _mutated(pod, settings)["spec"]
    containers = spec["containers"] + (spec.get("initContainers") or [])
    assert _repeated(containers, "name") == []
    assert _repeated(spec["volumes"] or [], "name") == []
    assert [
        repeated for each in containers if (repeated := _repeated(each.get("volumeMounts") or [], "mountPath"))
    ] == []


@given(strategies.pods(), strategies.settings)
def test_steps_that_are_left_out_would_change_nothing(pod: JsonObject, settings: JsonObject) -> None:
    def all_steps(request: ModelRequest) -> tuple[Step, ...]:
        return REINVOCATION_STEPS if request.already_injected else STEPS

    with mock.patch("webhook.admission.mutate.steps_for", all_steps):
        expected = decide(pod, settings)
    assert decide(pod, settings) == expected


@given(strategies.pods(), strategies.pods(), strategies.settings)
def test_no_pod_changes_what_another_one_gets(pod: JsonObject, other: JsonObject, settings: JsonObject) -> None:
    alone = response(pod, decide_with(pod, *_shared(settings)))
    shared = _shared(settings)
    decide_with(other, *shared)
    assert response(pod, decide_with(pod, *shared)) == alone


def test_a_pod_with_resources_of_its_own_does_not_change_those_of_others() -> None:
    plain = plain_pod("s3://bucket/model")
    own = plain_pod("s3://bucket/model", annotations={keys.CPU_LIMIT: "500m", keys.MEMORY_REQUEST: "200Mi"})
    alone, shared = response(plain, decide_with(plain, *_shared({}))), _shared({})
    assert decide_with(own, *shared).kind == "injected"
    assert response(plain, decide_with(plain, *shared)) == alone


def _shared(settings: JsonObject) -> tuple[Settings, Facts]:
    """Settings and facts. What follows from them is worked out once for all pods."""
    account = ServiceAccount({keys.S3_ENDPOINT: "s3.example.com"}, ("s3", "gcs"))
    access_keys = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})
    secrets = {
        "s3": Secret(access_keys, {keys.S3_REGION: "eu-west-1"}),
        "gcs": Secret(frozenset({"gcloud-application-credentials.json"})),
    }
    return parse(settings)[0], Facts(account, secrets)


@given(strategies.spoiled_pods(), strategies.settings)
def test_any_json_value_gets_a_response(pod: Any, settings: JsonObject) -> None:
    assert response(pod, decide(pod, settings))["uid"]


def _injected(pod: JsonObject, settings: JsonObject) -> Outcome:
    outcome = decide(pod, settings)
    assume(outcome.kind == "injected")
    return outcome


def _mutated(pod: JsonObject, settings: JsonObject) -> JsonObject:
    return patched(pod, response(pod, _injected(pod, settings)))


def _unknown(pod: JsonObject) -> list[Any]:
    spec = pod["spec"]
    parts = [pod, pod["metadata"], spec, *spec["containers"]]
    return [part.get("unknown") for part in parts]


def _repeated(items: list[JsonObject], key: str) -> list[Any]:
    values = [item[key] for item in items]
    return [value for value in values if values.count(value) > 1]
