"""No secret value gets out of the facts, or from there into an answer; tests/e2e has the whole process."""

from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import strategies
from tests.cluster_objects import NAMESPACE, facts_of, service_account
from tests.mutation import JsonObject, answer, decide, patched, response
from tests.planted import ASKING, PLANTED, SECRET_DATA, leaks, planted_cluster
from webhook.admission import ask
from webhook.facts import PLAIN_KEYS, Facts
from webhook.facts_file import FactsFile
from webhook.request import ModelRequest
from webhook.settings.parse import parse

HOW = {
    "named": {"serving.kserve.io/storageSecretName": "azure"},
    "spec": {"internal.serving.kserve.io/storage-spec": "true"},
    "spec with key": {
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-key": "mine",
    },
}


def test_leaks_are_seen() -> None:
    assert leaks(f"x{PLANTED}y")
    assert all(leaks(base64.b64encode(b"x" * offset + PLANTED.encode() + b"yz")) for offset in range(7))
    assert not leaks("nothing of the kind")


@pytest.mark.parametrize("pod", ASKING.values(), ids=ASKING)
def test_no_secret_value_leaves_the_webhook(pod: JsonObject) -> None:
    assert not leaks(repr(answer(pod, facts=facts_of(pod, planted_cluster()))))


@pytest.mark.parametrize("pod", ASKING.values(), ids=ASKING)
def test_no_secret_value_is_in_the_facts(pod: JsonObject) -> None:
    facts = facts_of(pod, planted_cluster())
    assert facts != Facts()
    assert not leaks(repr(facts))
    assert not leaks(pickle.dumps(facts))


def test_what_stands_in_the_pod_in_plain_text_is_no_credential() -> None:
    secret_keys = {key for keys in SECRET_DATA.values() for key in keys}
    assert not PLAIN_KEYS & secret_keys


@given(strategies.pods(), strategies.settings, st.sets(st.sampled_from([*SECRET_DATA])), st.sampled_from([None, *HOW]))
def test_no_generated_pod_gets_a_secret_value_out(
    pod: JsonObject, settings: JsonObject, listed: set[str], how: str | None
) -> None:
    pod["metadata"]["annotations"].update(HOW[how] if how else {})
    chosen, _ = parse(settings)
    wanted = ask(pod, NAMESPACE, chosen)
    assume(isinstance(wanted, ModelRequest))
    assert isinstance(wanted, ModelRequest)
    facts = FactsFile([service_account(*sorted(listed)), *planted_cluster()[1:]]).facts(wanted, chosen)
    answered = response(pod, decide(pod, settings, facts=facts))
    assert not leaks(repr(answered))
    assert answered == response(pod, decide(pod, settings, facts=facts))
    if answered["allowed"]:
        injected = patched(pod, answered)
        assert patched(injected, response(injected, decide(injected, settings, facts=facts))) == injected
