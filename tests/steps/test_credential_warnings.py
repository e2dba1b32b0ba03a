"""Warnings about credentials that do not reach the init container."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster_objects import S3, initializer, secret, service_account, storage_container, variables, warnings
from tests.mutation import JsonObject, a_container, kserve_pod, plain_pod
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.kinds import KINDS

ANNOTATION = "serving.kserve.io/storageSecretName"
NAMED = {ANNOTATION: "mine"}
LEGACY = "serving.kubeflow.org/s3-"
S3_KEYS = {"awsAccessKeyID": "AKIA", "awsSecretAccessKey": "x"}
S3_POD = plain_pod("s3://b/m")
S3_NAMED = plain_pod("s3://b/m", annotations=NAMED)
MAX_LENGTH = 256

SAID: dict[str, tuple[JsonObject, list[JsonObject], tuple[str, ...]]] = {
    "a named Secret without a known key": (
        S3_NAMED,
        [service_account(), secret("mine", {"access-key": "x", "secret-key": "x"})],
        ('Secret "mine"', "awsSecretAccessKey with awsAccessKeyID", "AWS_SECRET_ACCESS_KEY", "gcloud-application"),
    ),
    "a named Secret with nothing": (S3_NAMED, [service_account(), secret("mine", {})], ('Secret "mine"',)),
    "a named Secret with a pull secret": (
        plain_pod("hf://o/m", annotations=NAMED),
        [service_account(), secret("mine", {".dockerconfigjson": "{}"})],
        ('Secret "mine"', "such as HF_TOKEN, "),
    ),
    "a host without headers": (
        plain_pod("https://h/m", annotations=NAMED),
        [service_account(), secret("mine", {"https-host": "h"})],
        ('Secret "mine"', "https-host with headers"),
    ),
    "all Secrets of the service account": (
        S3_POD,
        [service_account("one", "pull"), secret("one", {"user": "x"}), secret("pull", {".dockercfg": "{}"})],
        ('service account "default"', "awsSecretAccessKey"),
    ),
    "legacy annotations of a named Secret": (
        S3_NAMED,
        [service_account(), secret("mine", S3_KEYS, {LEGACY + "endpoint": "minio", LEGACY + "usehttps": "0"})],
        ('Secret "mine"', "serving.kubeflow.org", S3 + "endpoint", S3 + "usehttps"),
    ),
    "legacy annotations of one of the account's Secrets": (
        S3_POD,
        [service_account("one"), secret("one", S3_KEYS, {LEGACY + "endpoint": "minio"})],
        ('Secrets of service account "default"', S3 + "endpoint"),
    ),
    "legacy annotations of the service account": (
        S3_POD,
        [service_account(annotations={LEGACY + "region": "r"})],
        ('of service account "default"', S3 + "region"),
    ),
    "a word of an annotation of a Secret": (
        S3_NAMED,
        [service_account(), secret("mine", S3_KEYS, {S3 + "usehttps": "no"})],
        (S3 + "usehttps", 'Secret "mine"', "0 or 1"),
    ),
    "a word of a key of a Secret": (
        S3_POD,
        [service_account("one"), secret("one", S3_KEYS | {"S3_VERIFY_SSL": "off"})],
        ("S3_VERIFY_SSL", 'Secrets of service account "default"', "0 or 1"),
    ),
    "words of the service account": (
        S3_POD,
        [service_account(annotations={S3 + "verifyssl": "2", S3 + "usehttps": "yes"})],
        (S3 + "verifyssl", S3 + "usehttps", 'service account "default"', "0 or 1"),
    ),
}


@pytest.mark.parametrize(("pod", "objects", "words"), SAID.values(), ids=SAID)
def test_one_warning_with_the_way_out(pod: JsonObject, objects: list[JsonObject], words: tuple[str, ...]) -> None:
    (warning,) = warnings(pod, *objects)
    assert all(word in warning for word in words), warning
    assert len(warning) <= MAX_LENGTH


def test_one_warning_for_each_cause() -> None:
    held = secret("mine", {"access-key": "x", "secret-key": "y"}, {LEGACY + "endpoint": "minio:9000"})
    account = service_account(annotations={LEGACY + "region": "r", S3 + "usehttps": "no"})
    found = warnings(S3_NAMED, account, held)
    assert len(found) == len(set(found)) == 4
    assert not any("access-key" in warning or "secret-key" in warning for warning in found)


NOT_SAID: dict[str, tuple[JsonObject, list[JsonObject]]] = {
    "no Secret": (S3_POD, [service_account()]),
    "one of several": (S3_POD, [service_account("a", "b"), secret("a", {"x": "x"}), secret("b", {"HF_TOKEN": "x"})]),
    "only Secrets that the cluster adds": (
        S3_POD,
        [
            service_account("pull", "old-pull", "token"),
            secret("pull", {".dockerconfigjson": "{}"}),
            secret("old-pull", {".dockercfg": "{}"}),
            secret("token", {"ca.crt": "x", "namespace": "x", "token": "x"}),
        ],
    ),
    "a current annotation beside the legacy one": (
        S3_NAMED,
        [service_account(), secret("mine", S3_KEYS, {LEGACY + "endpoint": "a", S3 + "endpoint": "b"})],
    ),
    "other annotations of the legacy group": (
        S3_NAMED,
        [service_account(), secret("mine", S3_KEYS, {"serving.kubeflow.org/something": "a"})],
    ),
    "true, false, 0 and 1": (
        S3_NAMED,
        [
            service_account(annotations={S3 + "usehttps": "False", S3 + "verifyssl": "1"}),
            secret("mine", S3_KEYS | {"S3_USE_HTTPS": "true", "S3_VERIFY_SSL": "0"}),
        ],
    ),
    "a word of a key under an annotation": (
        S3_NAMED,
        [service_account(), secret("mine", S3_KEYS | {"S3_USE_HTTPS": "no"}, {S3 + "usehttps": "0"})],
    ),
    "annotations for another scheme": (
        plain_pod("hf://o/m", annotations=NAMED),
        [
            service_account(annotations={LEGACY + "region": "r"}),
            secret("mine", S3_KEYS, {LEGACY + "endpoint": "a", S3 + "usehttps": "no"}),
        ],
    ),
    "a claim": (plain_pod("pvc://c/m", annotations=NAMED), [service_account(), secret("mine", {})]),
}


@pytest.mark.parametrize(("pod", "objects"), NOT_SAID.values(), ids=NOT_SAID)
def test_no_warning(pod: JsonObject, objects: list[JsonObject]) -> None:
    assert warnings(pod, *objects) == []


def hub_pod(env: list[JsonObject], uri: str = "hf://o/m") -> JsonObject:
    pod = plain_pod(uri)
    pod["spec"]["containers"] = [a_container("server", env=env), a_container("other")]
    pod["metadata"]["annotations"]["storage.kserve.io/containers"] = "server"
    return pod


REFERENCE = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "HF_TOKEN"}}}
TOKENS = {
    "a reference": REFERENCE,
    "a value": {"name": "HF_TOKEN", "value": "x"},
    "the old name": {"name": "HUGGING_FACE_HUB_TOKEN", "value": "x"},
}


@pytest.mark.parametrize("variable", TOKENS.values(), ids=TOKENS)
def test_token_that_only_the_server_has(variable: JsonObject) -> None:
    (warning,) = warnings(hub_pod([variable]), service_account())
    for word in (variable["name"], '"server"', "HF_TOKEN", ANNOTATION):
        assert word in warning
    assert len(warning) <= MAX_LENGTH


def custom(**container: object) -> JsonObject:
    return storage_container("custom", "hf://", container={"image": "c:1", **container})


TOKEN_IS_NOT_MISSING: dict[str, tuple[JsonObject, list[JsonObject]]] = {
    "no token": (hub_pod([{"name": "OTHER", "value": "x"}]), [service_account()]),
    "an empty token": (hub_pod([{"name": "HF_TOKEN", "value": ""}]), [service_account()]),
    "another source": (hub_pod([REFERENCE], "s3://b/m"), [service_account()]),
    "a Secret": (hub_pod([REFERENCE]), [service_account("hf"), secret("hf", {"HF_TOKEN": "x"})]),
    "a storage container": (hub_pod([REFERENCE]), [service_account(), custom(env=[REFERENCE])]),
    "a storage container's envFrom": (
        hub_pod([REFERENCE]),
        [service_account(), custom(envFrom=[{"secretRef": {"name": "hf"}}])],
    ),
    "nothing is known of the cluster": (hub_pod([REFERENCE]), []),
}


@pytest.mark.parametrize(("pod", "objects"), TOKEN_IS_NOT_MISSING.values(), ids=TOKEN_IS_NOT_MISSING)
def test_no_warning_about_a_token(pod: JsonObject, objects: list[JsonObject]) -> None:
    assert warnings(pod, *objects) == []


SPEC = {"internal.serving.kserve.io/storage-spec": "true", **NAMED}
TYPE = {"internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}'}


@pytest.mark.parametrize("objects", [[], [secret("mine", {"other": "{}"})]], ids=["missing", "another entry"])
def test_named_secret_without_the_entry_of_a_storage_spec(objects: list[JsonObject]) -> None:
    (warning,) = warnings(kserve_pod("<scheme-placeholder>://m", annotations=SPEC | TYPE), *objects)
    for word in ('Secret "mine"', '"default_s3"', "storage-spec-key"):
        assert word in warning
    assert "other" not in warning


def test_storage_spec_with_an_entry_or_without_a_named_secret() -> None:
    pod = kserve_pod("<scheme-placeholder>://m", annotations=SPEC | TYPE)
    assert warnings(pod, secret("mine", {"default_s3": "{}"})) == []
    del pod["metadata"]["annotations"][ANNOTATION]
    assert warnings(pod) == []


@given(st.sampled_from(["usehttps", "verifyssl"]), st.text(max_size=8) | st.sampled_from(["TRUE", "fAlse", "0", "1 "]))
def test_every_switch_is_0_or_1_or_said(switch: str, value: str) -> None:
    account = service_account(annotations={S3 + "endpoint": "h", S3 + switch: value})
    found = variables(initializer(S3_POD, account))
    given_value = found.get({"usehttps": "S3_USE_HTTPS", "verifyssl": "S3_VERIFY_SSL"}[switch], "")
    assert (given_value in ("", "0", "1")) != any(S3 + switch in warning for warning in warnings(S3_POD, account))
    assert switch != "usehttps" or found["AWS_ENDPOINT_URL"] == ("http://h" if given_value == "0" else "https://h")


KNOWN = {key for kind in KINDS for keys in kind.keys(Credentials()) for key in keys}
URIS = st.sampled_from("s3 gs hf https http hdfs modelscope models".split()).map("{}://h/m".format)
UNKNOWN_KEYS = st.sets(st.from_regex(r"own-[a-z]{8,12}", fullmatch=True), min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-z]{1,253}", fullmatch=True)


@given(URIS, UNKNOWN_KEYS, NAMES, st.booleans())
def test_keys_of_a_secret_are_never_named(uri: str, keys: set[str], name: str, named: bool) -> None:
    pod = plain_pod(uri, annotations={ANNOTATION: name} if named else {})
    account = service_account(*([] if named else [name]))
    (warning,) = warnings(pod, account, secret(name, dict.fromkeys(keys, "x")), storage_container("c", "models://"))
    assert any(key in warning for key in KNOWN)
    assert not any(key in warning for key in keys)
    assert named or f'"{name}"' not in warning
    assert len(warning) <= MAX_LENGTH
