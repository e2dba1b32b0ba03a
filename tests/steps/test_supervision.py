"""Supervised downloads, digests and patterns: the mutated pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hostile import plain_json
from tests.mutation import decide, initializer, kserve_pod, mutated, patched, plain_pod, response, several
from webhook.cluster.facts import Facts
from webhook.download.composition import MAX_TEXT, program_text
from webhook.storage_container import StorageContainer, UriFormat

PREFIX = "storage.kserve.io/"
S3 = "s3://bucket/iris"
CLAIM = "pvc://models/iris"
DIGEST = 64 * "a"
STOCK = "/storage-initializer/scripts/initializer-entrypoint"
SUPERVISED = {f"{PREFIX}supervise": "true"}
CHECKED = {f"{PREFIX}sha256": DIGEST}


def options(container: Any) -> Any:
    """The options of the download program."""
    return json.loads(container["args"][0].replace("$$", "$"))


def text(container: Any) -> str:
    return str(container["command"][4])


def test_a_supervised_download_runs_the_images_command() -> None:
    init = initializer(mutated(plain_pod(S3, annotations=SUPERVISED)))
    assert init["command"][:4] == ["python3", "-I", "-S", "-c"]
    assert text(init) == program_text("in_place", supervise=True)
    assert init["args"][1:] == [STOCK, S3, "/mnt/models"]
    found = options(init)
    assert (found["timeout"], found["stall-timeout"], found["source"]) == (7200, 600, S3)
    assert found["models"] == {"/mnt/models": ""}


@pytest.mark.parametrize(
    ("annotations", "settings", "expected"),
    [
        ({}, {}, None),
        ({}, {"supervise": True}, (7200, 600)),
        ({f"{PREFIX}supervise": "FALSE"}, {"supervise": True}, None),
        ({f"{PREFIX}download-timeout": "90s"}, {}, (90, 600)),
        ({f"{PREFIX}stall-timeout": "1h1m1s"}, {"timeout": "1h"}, (3600, 3661)),
        ({**SUPERVISED, f"{PREFIX}stall-timeout": "5m"}, {"stallTimeout": "1m", "timeout": "3h"}, (10800, 300)),
    ],
)
def test_limits_of_annotations_and_settings(annotations: Any, settings: Any, expected: Any) -> None:
    outcome = decide(plain_pod(S3, annotations=annotations), {"storageDefaults": {"download": settings}})
    init = initializer(outcome.mutated)
    if expected is None:
        assert "command" not in init
    else:
        assert (options(init)["timeout"], options(init)["stall-timeout"]) == expected


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({f"{PREFIX}supervise": "yes"}, "use true or false"),
        ({f"{PREFIX}download-timeout": "2 hours"}, "is not a duration"),
        ({f"{PREFIX}stall-timeout": "0s"}, "is not a duration"),
        ({f"{PREFIX}sha256": "abc"}, "is not a SHA-256"),
        ({f"{PREFIX}sha256": f"sha256:{DIGEST}"}, "is not a SHA-256"),
        ({f"{PREFIX}sha256": ""}, "is not a SHA-256"),
        ({f"{PREFIX}include": " "}, "use 1 to 100 patterns"),
        ({f"{PREFIX}exclude": "a,,b"}, "use 1 to 100 patterns"),
        ({f"{PREFIX}exclude": "[1]"}, "use 1 to 100 patterns"),
        ({f"{PREFIX}exclude": "[["}, "use 1 to 100 patterns"),
        ({f"{PREFIX}exclude": ",".join(["a"] * 101)}, "use 1 to 100 patterns"),
        ({f"{PREFIX}exclude": "a" * 257}, "use 1 to 100 patterns"),
    ],
)
def test_invalid_annotations_are_denied(annotations: dict[str, str], words: str) -> None:
    outcome = decide(plain_pod(S3, annotations=annotations))
    assert not outcome.allowed
    assert words in outcome.message
    assert next(iter(annotations)) in outcome.message


def test_supervision_without_a_download_is_warned_about() -> None:
    outcome = decide(plain_pod(CLAIM, annotations=SUPERVISED))
    assert f"{PREFIX}supervise has no effect" in outcome.warnings[0]
    assert outcome.mutated is not None
    assert "initContainers" not in outcome.mutated["spec"]


def test_a_download_with_a_digest_is_checked() -> None:
    init = initializer(mutated(plain_pod(S3, annotations={f"{PREFIX}sha256": DIGEST.upper()})))
    assert text(init) == program_text("in_place", digest=True)
    assert options(init)["models"] == {"/mnt/models": DIGEST}
    assert options(init)["sha256"] == DIGEST


def test_a_copy_with_a_digest_is_checked_through_its_links() -> None:
    init = initializer(mutated(plain_pod(CLAIM, annotations={**CHECKED, f"{PREFIX}pvc-mount": "copy"})))
    assert options(init)["links"] == "/mnt/pvc"
    assert options(init)["models"] == {"/mnt/models": DIGEST}


def test_a_download_into_the_cache_is_supervised_and_checked() -> None:
    cache = {f"{PREFIX}cache": "pvc://cache"}
    init = initializer(mutated(plain_pod(S3, annotations={**cache, **CHECKED, **SUPERVISED})))
    assert text(init) == program_text("in_cache", supervise=True, digest=True)
    assert options(init)["sha256"] == DIGEST
    without = initializer(mutated(plain_pod(S3, annotations=cache)))
    assert text(without) == program_text("in_cache")
    supervised = initializer(mutated(plain_pod(S3, annotations={**cache, **SUPERVISED})))
    assert options(supervised)["key"] == options(without)["key"] != options(init)["key"]


def test_a_mounted_claim_with_a_digest_is_checked_by_an_init_container() -> None:
    pod = mutated(plain_pod(CLAIM, annotations=CHECKED))
    (check,) = pod["spec"]["initContainers"]
    assert check["name"] == "storage-digest"
    assert check["volumeMounts"] == [
        {"name": "kserve-pvc-source", "mountPath": "/mnt/storage-digest/kserve-pvc-source", "readOnly": True}
    ]
    assert options(check)["models"] == {"/mnt/storage-digest/kserve-pvc-source/iris": DIGEST}
    assert text(check) == program_text("check", digest=True)
    assert check["securityContext"]["allowPrivilegeEscalation"] is False
    again = decide(pod)
    assert again.allowed
    assert (again.mutated or pod)["spec"]["initContainers"] == [check]


def test_a_guaranteed_pod_stays_guaranteed_with_a_check() -> None:
    amounts = {"cpu": "2", "memory": "2Gi"}
    pod = plain_pod(CLAIM, annotations=CHECKED)
    pod["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    outcome = decide(pod)
    assert outcome.mutated is not None
    (check,) = outcome.mutated["spec"]["initContainers"]
    assert check["resources"]["requests"] == check["resources"]["limits"]
    assert not [each for each in outcome.warnings if "QoS" in each]


def of_several(*entries: dict[str, str]) -> Any:
    pod = several()
    pod["metadata"]["annotations"][f"{PREFIX}uris"] = json.dumps(entries)
    return pod


def test_each_of_several_models_has_its_digest() -> None:
    one = {"uri": S3, "mountPath": "/mnt/m/one", "sha256": DIGEST}
    two = {"uri": "s3://bucket/two", "mountPath": "/mnt/m/two"}
    claim = {"uri": CLAIM, "mountPath": "/mnt/claim", "sha256": 64 * "b"}
    containers = mutated(of_several(one, two, claim))["spec"]["initContainers"]
    init, check = (
        next(each for each in containers if each["name"] == name) for name in ("storage-initializer", "storage-digest")
    )
    assert options(init)["models"] == {"/mnt/m/one": DIGEST, "/mnt/m/two": ""}
    assert options(init)["sha256"] == ""
    assert list(options(check)["models"].values()) == [64 * "b"]


def test_a_model_with_a_digest_contains_no_other_one() -> None:
    outer = {"uri": S3, "mountPath": "/mnt/m", "sha256": DIGEST}
    inner = {"uri": CLAIM, "mountPath": "/mnt/m/adapter"}
    assert "which has a digest" in decide(of_several(outer, inner)).message
    outcome = decide(several((S3, "/mnt/m")) | {})
    assert outcome.allowed


def test_one_digest_for_several_models_is_denied() -> None:
    pod = several((S3, "/mnt/m"))
    pod["metadata"]["annotations"].update(CHECKED)
    assert f"{PREFIX}sha256 cannot be combined" in decide(pod).message


@pytest.mark.parametrize("scheme", ["oci+modelcar", "oci+native"])
def test_the_digest_of_an_image_that_is_not_downloaded_is_denied(scheme: str) -> None:
    settings = {"storageInitializer": {"enableOciModelSupport": True}}
    outcome = decide(plain_pod(f"{scheme}://registry/model:1", annotations=CHECKED), settings)
    assert "name the image by its digest" in outcome.message


def test_a_claim_of_the_pods_own_as_the_place_of_the_download_is_denied() -> None:
    volume = {"name": "kserve-provision-location", "persistentVolumeClaim": {"claimName": "mine"}}
    outcome = decide(plain_pod(S3, annotations=CHECKED, volumes=[volume]))
    assert "cannot be combined with the pod's claim" in outcome.message


@pytest.mark.parametrize("read_only", ["true", "false"])
def test_a_digest_of_a_claims_copy_at_a_path_that_contains_the_claim_is_denied(read_only: str) -> None:
    """The directory is emptied before the download, and the claim is mounted inside it."""
    annotations = {f"{PREFIX}pvc-mount": "copy", f"{PREFIX}mount-path": "/mnt", f"{PREFIX}readonly": read_only}
    assert decide(plain_pod(CLAIM, annotations=annotations)).allowed
    outcome = decide(plain_pod(CLAIM, annotations={**annotations, **CHECKED}))
    assert 'contains the mount path "/mnt/pvc" of volume' in outcome.message


REQUIRED = {"storageDefaults": {"requireDigest": ["models"]}}


@pytest.mark.parametrize(
    ("uri", "annotations", "namespace", "allowed"),
    [
        (S3, {}, "models", False),
        (S3, CHECKED, "models", True),
        (S3, {}, "other", True),
        (CLAIM, {}, "models", False),
        ("oci+native://registry/model:1", {}, "models", False),
        (f"oci+native://registry/model@sha256:{DIGEST}", {}, "models", True),
    ],
)
def test_required_digests(uri: str, annotations: Any, namespace: str, allowed: bool) -> None:
    settings = {**REQUIRED, "storageInitializer": {"enableOciModelSupport": True}}
    outcome = decide(plain_pod(uri, annotations=annotations), settings, namespace)
    assert outcome.allowed == allowed, outcome.message
    assert allowed or ("needs a digest" in outcome.message and outcome.code == 403)


def injected_by_kserve(**changes: Any) -> Any:
    """A pod whose init container KServe's controllers injected."""
    pod = kserve_pod(S3)
    pod["spec"]["initContainers"] = [
        {
            "name": "storage-initializer",
            "image": "kserve/storage-initializer:v0.20.0",
            "args": [S3, "/mnt/models"],
            "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
            **changes,
        }
    ]
    mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models", "readOnly": True}
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    pod["spec"]["volumes"] = [{"name": "kserve-provision-location", "emptyDir": {}}]
    return pod


def test_a_download_that_kserve_injected_is_checked_once() -> None:
    pod = injected_by_kserve()
    pod["metadata"]["annotations"].update(CHECKED)
    changed = mutated(pod)
    assert initializer(changed)["args"][1:] == [STOCK, S3, "/mnt/models"]
    assert options(initializer(changed))["models"] == {"/mnt/models": DIGEST}
    again = decide(changed)
    assert again.allowed
    assert initializer(again.mutated or changed) == initializer(changed)


def test_an_init_container_that_cannot_be_checked_is_denied() -> None:
    pod = injected_by_kserve(args=["download"], volumeMounts=[])
    pod["metadata"]["annotations"].update(CHECKED)
    assert "digest cannot be checked" in decide(pod).message


def test_a_required_digest_counts_also_after_kserve() -> None:
    outcome = decide(injected_by_kserve(), {"storageDefaults": {"requireDigest": True}})
    assert "needs a digest" in outcome.message


@pytest.mark.parametrize("annotations", [SUPERVISED, CHECKED, {**CHECKED, f"{PREFIX}cache": "pvc://cache"}])
def test_a_second_call_changes_nothing(annotations: dict[str, str]) -> None:
    pod = plain_json(plain_pod(S3, annotations=annotations))
    first = patched(pod, response(pod, decide(pod)))
    assert decide(first).mutated in (None, first)


def test_a_storage_container_without_a_command_is_denied() -> None:
    facts = Facts(storage_containers=(StorageContainer("custom", {"image": "custom:1"}, (UriFormat(prefix="s3://"),)),))
    assert "can be neither supervised nor checked" in decide(plain_pod(S3, annotations=SUPERVISED), facts=facts).message


@pytest.mark.parametrize("value", ["*.safetensors, *.json", '["*.safetensors", "*.json"]'])
@pytest.mark.parametrize("uri", [S3, "hf://org/model"])
def test_patterns_are_passed_to_the_initializer(uri: str, value: str) -> None:
    init = initializer(mutated(plain_pod(uri, annotations={f"{PREFIX}include": value, f"{PREFIX}exclude": "*.bin"})))
    variables = {each["name"]: each.get("value") for each in init["env"]}
    assert variables["STORAGE_ALLOW_PATTERNS"] == '["*.safetensors", "*.json"]'
    assert variables["STORAGE_IGNORE_PATTERNS"] == '["*.bin"]'


@pytest.mark.parametrize("uri", [CLAIM, "https://host/model.bin", "oci+fetch://registry/model:1", "oci+native://r/m:1"])
def test_patterns_that_cannot_be_applied_are_denied(uri: str) -> None:
    settings = {"storageInitializer": {"enableOciModelSupport": True}}
    outcome = decide(plain_pod(uri, annotations={f"{PREFIX}include": "*.bin"}), settings)
    assert "cannot be applied to" in outcome.message


def test_patterns_are_denied_for_an_image_that_ignores_them() -> None:
    settings = {"storageInitializer": {"image": "kserve/storage-initializer:v0.16.0"}}
    outcome = decide(plain_pod(S3, annotations={f"{PREFIX}exclude": "*.bin"}), settings)
    assert "v0.17 or newer" in outcome.message


def test_patterns_decide_which_pods_share_a_copy() -> None:
    cache = {f"{PREFIX}cache": "pvc://cache"}
    keys = {
        options(initializer(mutated(plain_pod(S3, annotations={**cache, **more}))))["key"]
        for more in ({}, {f"{PREFIX}include": "a"}, {f"{PREFIX}exclude": "a"})
    }
    assert len(keys) == 3


@pytest.mark.parametrize("annotations", [SUPERVISED, CHECKED, {**SUPERVISED, **CHECKED, f"{PREFIX}cache": "pvc://c"}])
def test_the_text_in_a_pod_is_small(annotations: dict[str, str]) -> None:
    init = initializer(mutated(plain_pod(S3, annotations=annotations)))
    assert len(text(init).encode()) <= MAX_TEXT
