"""No secret value is in facts or responses. tests/e2e checks the complete process."""

from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import strategies
from tests.cluster_objects import NAMESPACE, facts_of, service_account
from tests.mutation import JsonObject, answer, decide, patched, response
from tests.planted import PLANTED, PODS, SECRET_DATA, leaks, planted_cluster
from webhook.admission import pods
from webhook.cluster.facts import PLAIN_KEYS, Facts
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.settings.parse import parse

HOW = {
    "named": {"serving.kserve.io/storageSecretName": "azure"},
    "spec": {"internal.serving.kserve.io/storage-spec": "true"},
    "spec with key": {
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-key": "mine",
    },
}


def test_leaks_are_detected() -> None:
    assert leaks(f"x{PLANTED}y")
    assert all(leaks(base64.b64encode(b"x" * offset + PLANTED.encode() + b"yz")) for offset in range(7))
    assert not leaks("nothing of the kind")


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_secret_value_leaves_the_webhook(pod: JsonObject) -> None:
    assert not leaks(repr(answer(pod, facts=facts_of(pod, planted_cluster()))))


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_secret_value_is_in_the_facts(pod: JsonObject) -> None:
    facts = facts_of(pod, planted_cluster())
    assert facts != Facts()
    assert not leaks(repr(facts))
    assert not leaks(pickle.dumps(facts))


def test_plain_keys_are_not_credentials() -> None:
    secret_keys = {key for keys in SECRET_DATA.values() for key in keys}
    assert not PLAIN_KEYS & secret_keys


@given(strategies.pods(), strategies.settings, st.sets(st.sampled_from([*SECRET_DATA])), st.sampled_from([None, *HOW]))
def test_no_response_for_a_generated_pod_has_a_secret_value(
    pod: JsonObject, settings: JsonObject, listed: set[str], how: str | None
) -> None:
    pod["metadata"]["annotations"].update(HOW[how] if how else {})
    parsed, _ = parse(settings)
    request = pods.read(pod, NAMESPACE, parsed)
    assume(isinstance(request, ModelRequest))
    assert isinstance(request, ModelRequest)
    facts = FactsFile([service_account(*sorted(listed)), *planted_cluster()[1:]]).facts(request, parsed)
    result = response(pod, decide(pod, settings, facts=facts))
    assert not leaks(repr(result))
    assert result == response(pod, decide(pod, settings, facts=facts))
    if result["allowed"]:
        injected = patched(pod, result)
        assert patched(injected, response(injected, decide(injected, settings, facts=facts))) == injected
