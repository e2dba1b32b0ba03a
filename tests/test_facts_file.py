"""Manifests as facts: what counts, in which form, and what never gets out of a Secret."""

from __future__ import annotations

import base64
import pickle
from typing import Any

import pytest

from tests.cluster_objects import (
    S3,
    admitted,
    claim,
    facts_of,
    initializer,
    secret,
    service_account,
    storage_container,
    variables,
)
from tests.mutation import JsonObject, answer, kserve_pod, plain_pod
from webhook.facts import PLAIN_KEYS, Facts
from webhook.manifests import load

TOKEN = {"HF_TOKEN": ("hub", "HF_TOKEN")}
HELD = [service_account("hub"), secret("hub", {"HF_TOKEN": "x"})]


FORMS: dict[str, list[Any]] = {
    "documents": HELD,
    "a List": [{"apiVersion": "v1", "kind": "List", "items": HELD}],
    "typed lists": [
        {"kind": f"{each['kind']}List", "items": [{k: v for k, v in each.items() if k != "kind"}]} for each in HELD
    ],
    "without a namespace": [{**each, "metadata": {"name": each["metadata"]["name"]}} for each in HELD],
    "with what is of no use": [{"kind": "Pod", "metadata": {"name": "x"}}, 7, None, {"kind": "Secret"}, *HELD],
    "stringData": [HELD[0], {**secret("hub", {}), "data": None, "stringData": {"HF_TOKEN": "x"}}],
}


@pytest.mark.parametrize("documents", FORMS.values(), ids=FORMS)
def test_manifests_in_every_form_that_kubectl_takes(documents: list[Any]) -> None:
    assert variables(initializer(plain_pod("hf://org/model"), *documents)) == TOKEN


def test_another_namespaces_objects_do_not_count() -> None:
    elsewhere = [{**each, "metadata": {**each["metadata"], "namespace": "other"}} for each in HELD]
    assert variables(initializer(plain_pod("hf://org/model"), *elsewhere)) == {}


NOT_OF_SHAPE: list[Any] = [None, 7, "text", [], [7], {"a": 7}, {"name": None}]


@pytest.mark.parametrize("junk", NOT_OF_SHAPE, ids=repr)
def test_objects_of_any_shape_are_read(junk: Any) -> None:
    documents = [
        {"kind": "ServiceAccount", "metadata": {"name": "default", "annotations": junk}, "secrets": junk},
        {"kind": "ServiceAccount", "metadata": {"name": "robot"}, "secrets": [{"name": "s"}]},
        {"kind": "Secret", "metadata": {"name": "s", "annotations": junk}, "data": junk, "stringData": junk},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"accessModes": junk}},
        {"kind": "ClusterStorageContainer", "metadata": {"name": junk}, "spec": junk},
        {"kind": "ClusterStorageContainer", "metadata": {"name": "x"}, "spec": {"supportedUriFormats": junk}},
        {"kind": "ClusterStorageContainer", "metadata": {"name": "y"}, "spec": {"container": junk}},
    ]
    for pod in (plain_pod("s3://b/m"), plain_pod("s3://b/m", serviceAccountName="robot"), plain_pod("pvc://c/m")):
        found = admitted(pod, *documents, settings={"storageDefaults": {"claims": {"read": True}}})
        assert found["spec"]["containers"][0]["volumeMounts"]


def test_binary_values_are_read() -> None:
    odd = {**secret("s", {}), "data": {"S3_ENDPOINT": "//79", "awsSecretAccessKey": "*no base64*", "HF_TOKEN": 7}}
    assert "S3_ENDPOINT" not in variables(initializer(plain_pod("s3://b/m"), service_account("s"), odd))


# --- What is secret ------------------------------------------------------------------------------------------------

PLANTED = "PLANTED-7f3a91"
"""Stands in every value that is secret."""

SECRET_DATA = {
    "s3": ["awsAccessKeyID", "awsSecretAccessKey"],
    "gcs": ["gcloud-application-credentials.json"],
    "azure": ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_ACCESS_TOKEN", "AZURE_ACCOUNT_NAME"],
    "azure-key": ["AZURE_STORAGE_ACCESS_KEY"],
    "https": ["headers"],
    "hdfs": ["HDFS_NAMENODE", "KERBEROS_KEYTAB", "TLS_KEY"],
    "hub": ["HF_TOKEN"],
    "scope": ["MODELSCOPE_API_TOKEN"],
    "other": ["password", ".dockerconfigjson"],
}


def planted_secret(name: str, keys: list[str]) -> JsonObject:
    """A Secret whose values, and whose other annotations, hold what must not get out."""
    data = dict.fromkeys(keys, f'{{"type": "{PLANTED}", "Authorization": "{PLANTED}"}}')
    if name == "https":
        data["https-host"] = "models.example.com"
    applied = {"kubectl.kubernetes.io/last-applied-configuration": PLANTED, S3 + "region": "eu-west-1"}
    return secret(name, data, applied)


def planted_cluster() -> list[JsonObject]:
    """A service account with one Secret of each kind, and a storage-config Secret."""
    entry = f'{{"type": "s3", "bucket": "b", "access_key_id": "{PLANTED}", "secret_access_key": "{PLANTED}"}}'
    return [
        service_account(*SECRET_DATA, annotations={"token": PLANTED}),
        *(planted_secret(name, keys) for name, keys in SECRET_DATA.items()),
        secret("storage-config", {"default": entry, "mine": PLANTED, "bad": f"{{{PLANTED}"}),
        claim("models", "ReadWriteOnce"),
        storage_container("a", "s3://"),
    ]


INTERNAL = "internal.serving.kserve.io/"
SPEC = {INTERNAL + "storage-spec": "true"}
PLACEHOLDER = "<scheme-placeholder>://m"

ASKING: dict[str, JsonObject] = {
    "service account": plain_pod("s3://b/m"),
    "named": plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": "s3"}),
    "of no known kind": plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": "other"}),
    **{
        f"storage spec {key}": kserve_pod(PLACEHOLDER, annotations=SPEC | {INTERNAL + "storage-spec-key": key})
        for key in ("default", "mine", "bad", "missing")
    },
}


def leaks(value: bytes | str) -> bool:
    """Whether a planted value, plain or in base64 at any offset, is in there."""
    text = value if isinstance(value, bytes) else value.encode()
    forms = {PLANTED.encode()}
    for offset in range(3):
        # What is certain whatever stands before and after.
        encoded = base64.b64encode(b"\0" * offset + PLANTED.encode())
        forms.add(encoded[4 if offset else 0 :].rstrip(b"=")[:-2])
    return any(form in text for form in forms)


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


def test_the_commands_manifests_are_read_as_text() -> None:
    text = "kind: ServiceAccount\nmetadata: {name: default}\nsecrets: [{name: hub}]\n---\n" + (
        "kind: Secret\nmetadata: {name: hub}\nstringData: {HF_TOKEN: x}\n"
    )
    assert variables(initializer(plain_pod("hf://org/model"), *load(text))) == TOKEN
