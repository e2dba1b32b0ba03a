"""What denials and warnings tell of Secrets. Whoever can send requests to the webhook can name any Secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cluster_objects import facts_of, secret, service_account
from tests.mutation import JsonObject, answer, kserve_pod, plain_pod
from webhook.cluster.facts import CREDENTIAL_KEYS

NAMED = {"serving.kserve.io/storageSecretName": "guessed"}
SPEC = {"internal.serving.kserve.io/storage-spec": "true"}
ENTRY = {"internal.serving.kserve.io/storage-spec-key": "guess"}
SECRETS = ("guessed", "storage-config", "unnamed-a", "unnamed-b")
URIS = ("s3://b/m", "gs://b/m", "https://host/m", "hdfs://b/m", "hf://o/m", "<scheme-placeholder>://m")

PODS = {
    f"{uri} {how}": kserve_pod(uri, annotations=annotations)
    for uri in URIS
    for how, annotations in {
        "of the account": {},
        "named": NAMED,
        "spec": SPEC,
        "spec with an entry": SPEC | ENTRY,
        "named spec": SPEC | ENTRY | NAMED,
    }.items()
}

# Keys that nobody but the owner of the Secret knows, and values that are no credentials but might be believed harmless.
VALUES = st.sampled_from(
    ["", "planted-value", json.dumps({"type": "planted-type"}), json.dumps({"type": "s3", "planted-field": 1}), "[]"]
)
KEYS = st.sampled_from(["planted-key", "guess", "default", "default_planted-key", *sorted(CREDENTIAL_KEYS)])
DATA = st.dictionaries(KEYS, VALUES, max_size=3)


def messages(pod: JsonObject, *objects: Any) -> str:
    response = answer(pod, None, "models", facts_of(pod, objects))
    return json.dumps([response.get("warnings"), response.get("status")])


@given(st.sampled_from(list(PODS)), DATA)
@settings(max_examples=400, phases=[Phase.explicit, Phase.generate])
def test_messages_tell_neither_keys_nor_values(pod: str, data: dict[str, str]) -> None:
    held = [secret(name, {"planted-key": ""} | data) for name in SECRETS]
    found = messages(PODS[pod], service_account("unnamed-a", "unnamed-b"), *held)
    assert "planted-" not in found


@pytest.mark.parametrize("entry", [{"type": "planted-type"}, {"bucket": "planted-bucket"}, "planted-text"])
@pytest.mark.parametrize("annotations", [SPEC | ENTRY, SPEC | ENTRY | NAMED])
def test_denials_of_a_storage_spec_tell_no_value(entry: Any, annotations: dict[str, str]) -> None:
    held = [secret(name, {"guess": json.dumps(entry), "planted-key": ""}) for name in SECRETS]
    found = messages(kserve_pod("<scheme-placeholder>://m", annotations=annotations), *held)
    assert '"status": "Failure"' in found
    assert "planted-" not in found


S3_KEYS = {"awsAccessKeyID": "x", "awsSecretAccessKey": "x"}


def test_secrets_that_are_not_used_are_counted_not_named() -> None:
    names = [f"unnamed-{number}" for number in range(9)]
    held = [secret(name, S3_KEYS) for name in names]
    found = messages(plain_pod("s3://b/m"), service_account(*names), *held)
    assert "lists 9 Secrets with S3 credentials" in found
    assert "unnamed-0" in found, "the pod refers to this one"
    assert not any(name in found for name in names[1:])
