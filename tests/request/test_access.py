"""What `storageDefaults.access` means for pods: which claims they get, read-only or read-write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import JsonObject, answer, decide, kserve_pod, patched, plain_pod, several
from webhook import annotations as keys

CACHE = {keys.CACHE: "pvc://cache/models"}


def _settings(*rules: Any, **more: Any) -> JsonObject:
    return {"storageDefaults": {"access": list(rules), **more}}


def _read_only(pod: JsonObject, settings: JsonObject) -> bool:
    mounts = patched(pod, answer(pod, settings))["spec"]["containers"][0]["volumeMounts"]
    return bool(next(mount for mount in mounts if mount["mountPath"] == "/mnt/models").get("readOnly"))


@pytest.mark.parametrize("allow", ["read", "readWrite"])
@pytest.mark.parametrize("uri", ["pvc://models/iris", "s3://models/iris"])
@pytest.mark.parametrize("by_default", [False, True])
def test_a_model_is_writable_only_where_a_rule_says_so(allow: str, uri: str, by_default: bool) -> None:
    settings = _settings({"allow": allow}, readOnly=not by_default, allowReadWrite=True)
    pod = plain_pod(uri, annotations={} if by_default else {keys.READ_ONLY: "false"})
    if allow == "read" and not by_default:
        response = answer(pod, settings)
        assert response["status"]["code"] == 403
        assert "storageDefaults.access[0]" in response["status"]["message"]
    else:
        assert _read_only(pod, settings) is (allow == "read")


def test_without_a_match_a_claim_can_only_be_read() -> None:
    pod = plain_pod("pvc://models/iris", annotations={keys.READ_ONLY: "false"})
    message = answer(pod, _settings({"claims": ["other"], "allow": "readWrite"}))["status"]["message"]
    assert "storageDefaults.access, of which no rule matches" in message


@pytest.mark.parametrize("pod", [plain_pod("pvc://models/iris"), kserve_pod("pvc://models/iris")])
@pytest.mark.parametrize("copied", [False, True])
def test_a_claim_that_may_not_be_read_is_denied(pod: JsonObject, copied: bool) -> None:
    settings = _settings({"claims": ["models"], "allow": "none"})
    settings |= {"storageInitializer": {"enableDirectPvcVolumeMount": not copied}}
    response = answer(pod, settings)
    assert response["status"]["code"] == 403
    assert 'path "iris" of claim "models" (storageDefaults.access[0])' in response["status"]["message"]


def test_a_model_in_no_claim_is_not_denied() -> None:
    assert answer(plain_pod("s3://models/iris"), _settings({"allow": "none"}))["allowed"]


def test_each_of_several_claims_counts() -> None:
    rule = {"claims": ["secret"], "allow": "none"}
    allowed = several(("pvc://public/a", "/mnt/a"), ("pvc://other/b", "/mnt/b"))
    assert answer(allowed, _settings(rule))["allowed"]
    denied = several(("pvc://public/a", "/mnt/a"), ("pvc://secret/b", "/mnt/b"))
    assert 'claim "secret"' in answer(denied, _settings(rule))["status"]["message"]


@pytest.mark.parametrize(("account", "allowed"), [("trainer", True), (None, False)])
def test_the_service_account_of_the_pod_counts(account: str | None, allowed: bool) -> None:
    rules = {"serviceAccounts": ["train*"], "allow": "read"}, {"allow": "none"}
    pod = plain_pod("pvc://models/iris", **({"serviceAccountName": account} if account else {}))
    assert answer(pod, _settings(*rules))["allowed"] is allowed


@pytest.mark.parametrize("allow", ["none", "read", "readWrite"])
def test_a_shared_cache_must_be_writable(allow: str) -> None:
    pod = plain_pod("s3://models/iris", annotations=CACHE)
    outcome = decide(pod, _settings({"claims": ["cache"], "allow": allow}))
    assert outcome.allowed is (allow == "readWrite")
    if not outcome.allowed:
        assert 'may not write to path "models" of claim "cache" (storageDefaults.access[0])' in outcome.message


def test_the_administrators_own_cache_needs_no_rule() -> None:
    pod = plain_pod("s3://models/iris")
    assert decide(pod, _settings({"allow": "none"}, cache={"*": "pvc://cache/models"})).allowed


def test_a_pod_that_kserve_injected_first_is_bound_too() -> None:
    initializer = {
        "name": "storage-initializer",
        "image": "kserve/storage-initializer:v1",
        "args": ["/mnt/pvc/iris", "/mnt/models"],
        "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
    }
    pod = kserve_pod("pvc://models/iris", initContainers=[initializer])
    assert not answer(pod, _settings({"claims": ["models"], "allow": "none"}))["allowed"]
