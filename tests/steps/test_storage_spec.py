"""Storage specs: the entry, the URI and the variables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster_objects import admitted, denial, initializer, secret, service_account, variables
from tests.mutation import JsonObject, kserve_pod

INTERNAL = "internal.serving.kserve.io/"
PLACEHOLDER = "<scheme-placeholder>://flowers"


def specified(
    uri: str = PLACEHOLDER, key: str | None = None, params: Any = None, more: dict[str, str] | None = None
) -> JsonObject:
    annotations = {INTERNAL + "storage-spec": "true", **(more or {})}
    if key is not None:
        annotations[INTERNAL + "storage-spec-key"] = key
    if params is not None:
        text = params if isinstance(params, str) else json.dumps(params)
        annotations[INTERNAL + "storage-spec-param"] = text
    return kserve_pod(uri, annotations=annotations)


def config(name: str = "storage-config", **entries: Any) -> JsonObject:
    return secret(name, {key: each if isinstance(each, str) else json.dumps(each) for key, each in entries.items()})


S3_ENTRY = {"type": "s3", "bucket": "models", "access_key_id": "AKIA", "secret_access_key": "x"}


def reference(key: str, name: str = "storage-config") -> dict[str, Any]:
    return {"STORAGE_CONFIG": (name, key)}


def override(**params: str) -> dict[str, Any]:
    return {"STORAGE_OVERRIDE_CONFIG": json.dumps(params, sort_keys=True, separators=(",", ":"))}


CASES: dict[str, tuple[JsonObject, JsonObject, str, dict[str, Any]]] = {
    "a named entry": (specified(key="mine"), config(mine=S3_ENTRY), "s3://models/flowers", reference("mine")),
    "default": (specified(), config(default=S3_ENTRY), "s3://models/flowers", reference("default")),
    "default of a type": (
        specified(params={"type": "s3"}),
        config(default={"type": "hdfs"}, default_s3=S3_ENTRY),
        "s3://models/flowers",
        reference("default_s3") | override(type="s3"),
    ),
    "a type without an entry": (
        specified(params={"type": "s3", "bucket": "b"}),
        config(default=S3_ENTRY),
        "s3://b/flowers",
        override(bucket="b", type="s3"),
    ),
    "no Secret at all": (
        specified(params={"type": "s3", "bucket": "b"}),
        service_account(),
        "s3://b/flowers",
        override(bucket="b", type="s3"),
    ),
    "a bucket from the params": (
        specified(key="mine", params={"bucket": "mine"}),
        config(mine=S3_ENTRY),
        "s3://mine/flowers",
        reference("mine") | override(bucket="mine"),
    ),
    "the entry's bucket with a type from the params": (
        specified(key="mine", params={"type": "s3"}),
        config(mine=S3_ENTRY),
        "s3://models/flowers",
        reference("mine") | override(type="s3"),
    ),
    "hdfs has no bucket": (
        specified(key="mine"),
        config(mine={"type": "hdfs", "bucket": "b"}),
        "hdfs://flowers",
        reference("mine"),
    ),
    "webhdfs": (specified(key="mine"), config(mine={"type": "webhdfs"}), "webhdfs://flowers", reference("mine")),
    "any type from the params": (specified(params={"type": "gs"}), config(), "gs://flowers", override(type="gs")),
    "a complete URI is not changed": (
        specified("s3://other/iris", key="mine"),
        config(mine={"type": "s3"}),
        "s3://other/iris",
        reference("mine"),
    ),
    "an entry that is not an object, with a type from the params": (
        specified("s3://other/iris", key="mine", params={"type": "s3"}),
        config(mine="no JSON"),
        "s3://other/iris",
        reference("mine") | override(type="s3"),
    ),
    "a CA bundle": (
        specified(key="mine"),
        config(mine=S3_ENTRY | {"cabundle_configmap": "ca"}),
        "s3://models/flowers",
        {"AWS_CA_BUNDLE_CONFIGMAP": "ca"} | reference("mine"),
    ),
    "a CA bundle with a type from the params": (
        specified(key="mine", params={"type": "s3"}),
        config(mine=S3_ENTRY | {"cabundle_configmap": "ca"}),
        "s3://models/flowers",
        {"AWS_CA_BUNDLE_CONFIGMAP": "ca"} | reference("mine") | override(type="s3"),
    ),
    "another Secret": (
        specified(key="mine", more={"serving.kserve.io/storageSecretName": "theirs"}),
        config("theirs", mine=S3_ENTRY),
        "s3://models/flowers",
        reference("mine", "theirs"),
    ),
    "an empty key is ignored": (
        specified(key=""),
        config(default=S3_ENTRY),
        "s3://models/flowers",
        reference("default"),
    ),
    "null params are ignored": (
        specified(params="null"),
        config(default=S3_ENTRY),
        "s3://models/flowers",
        reference("default"),
    ),
}


@pytest.mark.parametrize(("pod", "stored", "uri", "expected"), CASES.values(), ids=CASES)
def test_uri_and_variables_of_an_entry(pod: JsonObject, stored: JsonObject, uri: str, expected: dict[str, Any]) -> None:
    found = initializer(pod, stored)
    assert found["args"] == [uri, "/mnt/models"]
    assert list(variables(found).items()) == list(expected.items())


def test_secrets_of_the_service_account_are_not_used() -> None:
    objects = [config(default=S3_ENTRY), service_account("hub"), secret("hub", {"HF_TOKEN": "x"})]
    assert variables(initializer(specified(), *objects)) == reference("default")


def test_secret_name_from_the_settings() -> None:
    settings = {"credentials": {"storageSpecSecretName": "ours"}}
    found = initializer(specified(), config("ours", default=S3_ENTRY), settings=settings)
    assert variables(found) == reference("default", "ours")


def test_only_params_are_used_when_credentials_are_disabled() -> None:
    settings = {"credentials": {"enabled": False}}
    stored = config(mine=S3_ENTRY)
    found = initializer(specified(key="mine", params={"type": "s3", "bucket": "b"}), stored, settings=settings)
    assert found["args"] == ["s3://b/flowers", "/mnt/models"]
    assert variables(found) == override(bucket="b", type="s3")
    assert "type" in denial(specified(key="mine"), stored, settings=settings)


def test_not_applied_to_claims() -> None:
    assert "initContainers" not in admitted(specified("pvc://models/iris", key="mine"))["spec"]


DENIED: dict[str, tuple[JsonObject, JsonObject, tuple[str, ...]]] = {
    "a named entry that is missing": (
        specified(key="mine"),
        config(other=S3_ENTRY),
        ("storage-spec-key", '"mine"', "does not have this entry"),
    ),
    "a named entry without a Secret": (
        specified(key="mine"),
        service_account(),
        ('"storage-config"', "does not exist"),
    ),
    "an unsupported type": (specified(key="mine"), config(mine={"type": "ftp"}), ('"mine"', "s3, hdfs, webhdfs")),
    "no type": (specified(key="mine"), config(mine={"bucket": "b"}), ("storage type", '"mine"')),
    "no default": (specified(), config(), ("storage type", '"default"')),
    "no default, and a complete URI": (specified("s3://b/m"), config(), ("storage type",)),
    "s3 without a bucket": (specified(key="mine"), config(mine={"type": "s3"}), ("no bucket", "storage-spec-param")),
    "an entry that is not an object": (specified(key="mine"), config(mine="[]"), ('"mine"', "not a JSON object")),
    "params that are not JSON": (specified(params="{"), config(), ("storage-spec-param", "JSON object of strings")),
    "params that are not an object": (specified(params=[]), config(), ("storage-spec-param",)),
    "params that are not strings": (specified(params={"verify_ssl": True}), config(), ("storage-spec-param",)),
    "deeply nested params": (specified(params="[" * 100_000), config(), ("storage-spec-param",)),
    "a placeholder without a storage spec": (
        kserve_pod(PLACEHOLDER),
        config(default=S3_ENTRY),
        ("<scheme-placeholder>://", "storage-spec"),
    ),
}


@pytest.mark.parametrize(("pod", "stored", "words"), DENIED.values(), ids=DENIED)
def test_invalid_storage_spec_is_denied(pod: JsonObject, stored: JsonObject, words: tuple[str, ...]) -> None:
    message = denial(pod, stored)
    assert all(word in message for word in words), message
