"""ClusterStorageContainers: which one is chosen, what it changes, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import admitted, denial, initializer, secret, service_account, storage_container, warnings
from tests.mutation import JsonObject, kserve_pod, plain_pod, several

DEFAULT_IMAGE = "kserve/storage-initializer:latest"
BY_NAME = "internal.serving.kserve.io/storage-container-name"

MATCHES: dict[str, tuple[str, list[JsonObject], str]] = {
    "none": ("s3://b/m", [], DEFAULT_IMAGE),
    "by prefix": ("s3://b/m", [storage_container("a", "s3://")], "a:1"),
    "not by prefix": ("s3://b/m", [storage_container("a", "gs://")], DEFAULT_IMAGE),
    "any of its formats": ("s3://b/m", [storage_container("a", "gs://", "~^s3")], "a:1"),
    "no formats": ("s3://b/m", [storage_container("a")], DEFAULT_IMAGE),
    "by regex, anywhere": ("https://x.blob.core.windows.net/m", [storage_container("a", "~blob.core")], "a:1"),
    "by regex, anchored": ("https://x/s3://", [storage_container("a", "~^s3://")], DEFAULT_IMAGE),
    "a prefix beside a regex wins": (
        "s3://b/m",
        [storage_container("a", supportedUriFormats=[{"prefix": "gs://", "regex": "s3"}])],
        DEFAULT_IMAGE,
    ),
    "the first in the order of names": (
        "s3://b/m",
        [storage_container("b", "s3://"), storage_container("a", "s3://")],
        "a:1",
    ),
    "not a disabled one": (
        "s3://b/m",
        [storage_container("a", "s3://", top={"disabled": True}), storage_container("b", "s3://")],
        "b:1",
    ),
    "an enabled one": ("s3://b/m", [storage_container("a", "s3://", top={"disabled": False})], "a:1"),
    "not a download job": (
        "s3://b/m",
        [storage_container("a", "s3://", workloadType="localModelDownloadJob")],
        DEFAULT_IMAGE,
    ),
    "an init container, said": ("s3://b/m", [storage_container("a", "s3://", workloadType="initContainer")], "a:1"),
    "a wrong one behind the first": ("s3://b/m", [storage_container("a", "s3"), storage_container("b", "~(")], "a:1"),
}


@pytest.mark.parametrize(("uri", "held", "image"), MATCHES.values(), ids=MATCHES)
def test_the_first_that_supports_the_uri_is_used(uri: str, held: list[JsonObject], image: str) -> None:
    assert initializer(plain_pod(uri), *held)["image"] == image


def test_a_claim_that_is_mounted_needs_none() -> None:
    pod = plain_pod("pvc://models/iris")
    assert admitted(pod, storage_container("a", "pvc://")) == admitted(pod)


def test_a_claim_that_is_copied_may_have_one() -> None:
    pod = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"})
    assert initializer(pod, storage_container("a", "pvc://"))["image"] == "a:1"


def test_it_is_chosen_by_the_uri_that_a_storage_spec_leads_to() -> None:
    pod = kserve_pod(
        "<scheme-placeholder>://flowers",
        annotations={
            "internal.serving.kserve.io/storage-spec": "true",
            "internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}',
        },
    )
    assert initializer(pod, storage_container("a", "s3://b/"))["image"] == "a:1"


def test_it_is_chosen_by_name() -> None:
    held = [storage_container("a", "s3://"), storage_container("b", "s3://")]
    assert initializer(kserve_pod("s3://b/m", annotations={BY_NAME: "b"}), *held)["image"] == "b:1"


def test_a_name_counts_only_on_kserves_pods() -> None:
    assert (
        initializer(plain_pod("s3://b/m", annotations={BY_NAME: "b"}), storage_container("a", "s3://"))["image"]
        == "a:1"
    )


def test_what_it_changes_and_what_stays() -> None:
    container = {
        "name": "renamed",
        "image": "custom:1",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "HF_HUB_ENABLE_HF_TRANSFER", "value": "0"}, {"name": "MINE", "value": "1"}],
        "resources": {"limits": {"memory": "8Gi"}},
        "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/work"}],
        "securityContext": {"runAsUser": 1000},
    }
    found = initializer(plain_pod("s3://b/m"), storage_container("a", "s3://", container=container))
    assert found == {
        "name": "storage-initializer",
        "image": "custom:1",
        "imagePullPolicy": "IfNotPresent",
        "args": ["s3://b/m", "/mnt/models"],
        "resources": {
            "requests": {"cpu": "100m", "memory": "100Mi"},
            "limits": {"cpu": "1", "memory": "8Gi"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "kserve-provision-location", "mountPath": "/mnt/models"},
            {"name": "kserve-provision-location", "mountPath": "/work"},
        ],
        "env": [
            {"name": "HF_HUB_ENABLE_HF_TRANSFER", "value": "0"},
            {"name": "MINE", "value": "1"},
            {"name": "HF_XET_HIGH_PERFORMANCE", "value": "1"},
            {"name": "HF_XET_NUM_CONCURRENT_RANGE_GETS", "value": "8"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": 1000,
        },
    }


def test_its_variables_win_over_credentials_and_keep_one_source() -> None:
    theirs = {"name": "AWS_DEFAULT_REGION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    found = initializer(
        plain_pod("s3://b/m"),
        storage_container("a", "s3://", container={"env": [theirs]}),
        service_account("s"),
        secret("s", {"awsSecretAccessKey": "x", "AWS_DEFAULT_REGION": "eu-west-1"}),
    )
    (region,) = [each for each in found["env"] if each["name"] == "AWS_DEFAULT_REGION"]
    assert region == theirs


def test_annotation_over_storage_container_over_settings() -> None:
    settings = {
        "storageInitializer": {"image": "settings:1", "cpuLimit": "2", "memoryLimit": "2Gi"},
        "storageDefaults": {"overrides": {"image": ["pod:*"]}},
    }
    container = {"image": "cr:1", "resources": {"limits": {"cpu": "3", "memory": "3Gi"}}}
    held = storage_container("a", "s3://", container=container)
    ours = {"storage.kserve.io/image": "pod:1", "storage.kserve.io/cpu-limit": "4"}
    found = initializer(plain_pod("s3://b/m", annotations=ours), held, settings=settings)
    assert found["image"] == "pod:1"
    assert found["resources"]["limits"] == {"cpu": "4", "memory": "3Gi"}
    found = initializer(plain_pod("s3://b/m"), held, settings=settings)
    assert found["image"] == "cr:1"


RESOURCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a request above the settings' limit raises the limit": (
        {"requests": {"memory": "4Gi"}},
        {"requests": {"cpu": "100m", "memory": "4Gi"}, "limits": {"cpu": "1", "memory": "4Gi"}},
    ),
    "a limit below the settings' request lowers the request": (
        {"limits": {"memory": "50Mi"}},
        {"requests": {"cpu": "100m", "memory": "50Mi"}, "limits": {"cpu": "1", "memory": "50Mi"}},
    ),
    "numbers are quantities": (
        {"requests": {"cpu": 2}, "limits": {"cpu": 3}},
        {"requests": {"cpu": "2", "memory": "100Mi"}, "limits": {"cpu": "3", "memory": "1Gi"}},
    ),
}


@pytest.mark.parametrize(("theirs", "expected"), RESOURCES.values(), ids=RESOURCES)
def test_requests_stay_within_limits(theirs: dict[str, Any], expected: dict[str, Any]) -> None:
    held = storage_container("a", "s3://", container={"resources": theirs})
    assert initializer(plain_pod("s3://b/m"), held)["resources"] == expected
    ours = {"storage.kserve.io/cpu-limit": "1"}
    assert initializer(plain_pod("s3://b/m", annotations=ours), held)["resources"]["limits"]["cpu"] == "1"


def test_a_mount_of_a_volume_that_the_pod_lacks_is_warned_of() -> None:
    container = {"volumeMounts": [{"name": "certs", "mountPath": "/certs"}]}
    held = storage_container("a", "s3://", container=container)
    (warning,) = warnings(plain_pod("s3://b/m"), held)
    assert '"a"' in warning
    assert '"certs"' in warning
    assert warnings(plain_pod("s3://b/m", volumes=[{"name": "certs", "emptyDir": {}}]), held) == []


SEVERAL = several(("s3://b/base", "/mnt/base"), ("s3://b/lora", "/mnt/lora"))


def test_several_downloads_need_a_container_that_can() -> None:
    held = storage_container("a", "s3://", supportsMultiModelDownload=True)
    assert initializer(SEVERAL, held)["image"] == "a:1"
    message = denial(SEVERAL, storage_container("a", "s3://"))
    assert '"a"' in message
    assert "supportsMultiModelDownload" in message


def one(uri: str = "s3://b/m") -> JsonObject:
    return kserve_pod(uri, annotations={BY_NAME: "a"})


def shaped(**fields: Any) -> JsonObject:
    return storage_container("a", "s3://", container={"image": "a:1", **fields})


WRONG: dict[str, tuple[JsonObject, JsonObject, str]] = {
    "named and missing": (one(), storage_container("b", "s3://"), "does not exist, or may not be read"),
    "named and disabled": (one(), storage_container("a", "s3://", top={"disabled": True}), "is disabled"),
    "named and a job": (
        one(),
        storage_container("a", "s3://", workloadType="localModelDownloadJob"),
        'workloadType "localModelDownloadJob"',
    ),
    "named and of other URIs": (one(), storage_container("a", "gs://"), 'does not support the URI "s3://b/m"'),
    "a regex that is none": (plain_pod("s3://b/m"), storage_container("a", "~s3://("), 'the regex "s3://("'),
    "a regex that only others know": (plain_pod("s3://b/m"), storage_container("a", "~(?=s3)"), "(?="),
    "a regex too large": (plain_pod("s3://b/m"), storage_container("a", "~((a{1000}){1000}){1000}"), "RE2"),
    "no container": (plain_pod("s3://b/m"), storage_container("a", "s3://", container=7), "spec.container"),
    "env of another shape": (plain_pod("s3://b/m"), shaped(env={"A": "1"}), "spec.container.env"),
    "mounts of another shape": (plain_pod("s3://b/m"), shaped(volumeMounts=[{"name": "v"}]), "mountPath"),
    "resources of another shape": (plain_pod("s3://b/m"), shaped(resources=[]), "spec.container.resources"),
    "amounts that are none": (plain_pod("s3://b/m"), shaped(resources={"limits": {"cpu": "much"}}), '"much"'),
    "a request above its limit": (
        plain_pod("s3://b/m"),
        shaped(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        "cpu request 2",
    ),
}


@pytest.mark.parametrize(("pod", "held", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_one_is_named(pod: JsonObject, held: JsonObject, words: str) -> None:
    message = denial(pod, held)
    assert 'ClusterStorageContainer "a"' in message
    assert words in message


HOSTILE = ["(a+)+$", "(a|aa)+$", "(.*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){500}a{500}"]


@pytest.mark.parametrize("regex", HOSTILE)
def test_no_regex_takes_forever(regex: str) -> None:
    # A backtracking matcher would not come back in a lifetime.
    pod = plain_pod("s3://" + "a" * 4000 + "!")
    assert initializer(pod, storage_container("a", "~" + regex))["args"][1] == "/mnt/models"
