"""No secret value gets out of the facts, or from there into an answer; tests/e2e has the whole process."""

from __future__ import annotations

import base64
import pickle

import pytest

from tests.cluster_objects import facts_of
from tests.mutation import JsonObject, answer
from tests.planted import ASKING, PLANTED, SECRET_DATA, leaks, planted_cluster
from webhook.facts import PLAIN_KEYS, Facts


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
