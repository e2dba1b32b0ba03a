"""ClusterStorageContainers: selection, merge and denials."""

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
    "a prefix takes precedence over a regex": (
        "s3://b/m",
        [storage_container("a", supportedUriFormats=[{"prefix": "gs://", "regex": "s3"}])],
        DEFAULT_IMAGE,
    ),
    "the first by name": (
        "s3://b/m",
        [storage_container("b", "s3://"), storage_container("a", "s3://")],
        "a:1",
    ),
    "a disabled one is skipped": (
        "s3://b/m",
        [storage_container("a", "s3://", top={"disabled": True}), storage_container("b", "s3://")],
        "b:1",
    ),
    "an enabled one": ("s3://b/m", [storage_container("a", "s3://", top={"disabled": False})], "a:1"),
    "a download job is skipped": (
        "s3://b/m",
        [storage_container("a", "s3://", workloadType="localModelDownloadJob")],
        DEFAULT_IMAGE,
    ),
    "an explicit init container": ("s3://b/m", [storage_container("a", "s3://", workloadType="initContainer")], "a:1"),
    "an invalid one after the first": (
        "s3://b/m",
        [storage_container("a", "s3"), storage_container("b", "~(")],
        "a:1",
    ),
}


@pytest.mark.parametrize(("uri", "objects", "image"), MATCHES.values(), ids=MATCHES)
def test_first_container_that_supports_the_uri_is_selected(uri: str, objects: list[JsonObject], image: str) -> None:
    assert initializer(plain_pod(uri), *objects)["image"] == image


def test_not_applied_to_a_mounted_claim() -> None:
    pod = plain_pod("pvc://models/iris")
    assert admitted(pod, storage_container("a", "pvc://")) == admitted(pod)


def test_applied_to_a_copied_claim() -> None:
    pod = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"})
    assert initializer(pod, storage_container("a", "pvc://"))["image"] == "a:1"


def test_selected_by_the_uri_of_a_storage_spec() -> None:
    pod = kserve_pod(
        "<scheme-placeholder>://flowers",
        annotations={
            "internal.serving.kserve.io/storage-spec": "true",
            "internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}',
        },
    )
    assert initializer(pod, storage_container("a", "s3://b/"))["image"] == "a:1"


STORAGE_SPEC = {
    "internal.serving.kserve.io/storage-spec": "true",
    "internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}',
}


@pytest.mark.parametrize("written", ["<scheme-placeholder>://", "~^<scheme", "~://flowers$"])
@pytest.mark.parametrize("annotations", [{}, {BY_NAME: "written"}])
def test_the_uri_of_a_storage_spec_is_matched_as_written_first(written: str, annotations: dict[str, str]) -> None:
    pod = kserve_pod("<scheme-placeholder>://flowers", annotations={**STORAGE_SPEC, **annotations})
    # In the order of the API server, the one for the resolved URI is the first.
    objects = [storage_container("resolved", "s3://b/"), storage_container("written", written)]
    found = initializer(pod, *objects)
    assert (found["image"], found["args"]) == ("written:1", ["s3://b/flowers", "/mnt/models"])


def test_selected_by_name() -> None:
    objects = [storage_container("a", "s3://"), storage_container("b", "s3://")]
    assert initializer(kserve_pod("s3://b/m", annotations={BY_NAME: "b"}), *objects)["image"] == "b:1"


def test_name_is_ignored_on_pods_without_kserve_label() -> None:
    assert (
        initializer(plain_pod("s3://b/m", annotations={BY_NAME: "b"}), storage_container("a", "s3://"))["image"]
        == "a:1"
    )


def test_container_is_merged() -> None:
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


def test_variables_take_precedence_over_credentials() -> None:
    own = {"name": "AWS_DEFAULT_REGION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    found = initializer(
        plain_pod("s3://b/m"),
        storage_container("a", "s3://", container={"env": [own]}),
        service_account("s"),
        secret("s", {"awsSecretAccessKey": "x", "AWS_DEFAULT_REGION": "eu-west-1"}),
    )
    (region,) = [each for each in found["env"] if each["name"] == "AWS_DEFAULT_REGION"]
    assert region == own


def test_precedence_of_annotation_storage_container_and_settings() -> None:
    settings = {
        "storageInitializer": {"image": "settings:1", "cpuLimit": "2", "memoryLimit": "2Gi"},
        "storageDefaults": {"overrides": {"image": ["pod:*"]}},
    }
    container = {"image": "cr:1", "resources": {"limits": {"cpu": "3", "memory": "3Gi"}}}
    custom_resource = storage_container("a", "s3://", container=container)
    annotations = {"storage.kserve.io/image": "pod:1", "storage.kserve.io/cpu-limit": "4"}
    found = initializer(plain_pod("s3://b/m", annotations=annotations), custom_resource, settings=settings)
    assert found["image"] == "pod:1"
    assert found["resources"]["limits"] == {"cpu": "4", "memory": "3Gi"}
    found = initializer(plain_pod("s3://b/m"), custom_resource, settings=settings)
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


@pytest.mark.parametrize(("own", "expected"), RESOURCES.values(), ids=RESOURCES)
def test_requests_are_kept_within_limits(own: dict[str, Any], expected: dict[str, Any]) -> None:
    custom_resource = storage_container("a", "s3://", container={"resources": own})
    assert initializer(plain_pod("s3://b/m"), custom_resource)["resources"] == expected
    annotations = {"storage.kserve.io/cpu-limit": "1"}
    assert (
        initializer(plain_pod("s3://b/m", annotations=annotations), custom_resource)["resources"]["limits"]["cpu"]
        == "1"
    )


def test_mount_of_a_missing_volume_is_warned_about() -> None:
    container = {"volumeMounts": [{"name": "certs", "mountPath": "/certs"}]}
    custom_resource = storage_container("a", "s3://", container=container)
    (warning,) = warnings(plain_pod("s3://b/m"), custom_resource)
    assert '"a"' in warning
    assert '"certs"' in warning
    assert warnings(plain_pod("s3://b/m", volumes=[{"name": "certs", "emptyDir": {}}]), custom_resource) == []


SEVERAL = several(("s3://b/base", "/mnt/base"), ("s3://b/lora", "/mnt/lora"))


def test_several_downloads_require_support() -> None:
    custom_resource = storage_container("a", "s3://", supportsMultiModelDownload=True)
    assert initializer(SEVERAL, custom_resource)["image"] == "a:1"
    message = denial(SEVERAL, storage_container("a", "s3://"))
    assert '"a"' in message
    assert "supportsMultiModelDownload" in message


def named_pod(uri: str = "s3://b/m") -> JsonObject:
    return kserve_pod(uri, annotations={BY_NAME: "a"})


def storage_container_with(**fields: Any) -> JsonObject:
    return storage_container("a", "s3://", container={"image": "a:1", **fields})


INVALID: dict[str, tuple[JsonObject, JsonObject, str]] = {
    "named and missing": (named_pod(), storage_container("b", "s3://"), "does not exist or cannot be read"),
    "named and disabled": (named_pod(), storage_container("a", "s3://", top={"disabled": True}), "is disabled"),
    "named and a job": (
        named_pod(),
        storage_container("a", "s3://", workloadType="localModelDownloadJob"),
        'workloadType "localModelDownloadJob"',
    ),
    "named and for other URIs": (named_pod(), storage_container("a", "gs://"), 'does not support the URI "s3://b/m"'),
    "an invalid regex": (plain_pod("s3://b/m"), storage_container("a", "~s3://("), 'the regex "s3://("'),
    "a regex that RE2 does not support": (plain_pod("s3://b/m"), storage_container("a", "~(?=s3)"), "(?="),
    "a regex too large": (plain_pod("s3://b/m"), storage_container("a", "~((a{1000}){1000}){1000}"), "RE2"),
    "no container": (plain_pod("s3://b/m"), storage_container("a", "s3://", container=7), "spec.container"),
    "env of the wrong type": (plain_pod("s3://b/m"), storage_container_with(env={"A": "1"}), "spec.container.env"),
    "mounts of the wrong type": (
        plain_pod("s3://b/m"),
        storage_container_with(volumeMounts=[{"name": "v"}]),
        "mountPath",
    ),
    "resources of the wrong type": (
        plain_pod("s3://b/m"),
        storage_container_with(resources=[]),
        "spec.container.resources",
    ),
    "an invalid quantity": (
        plain_pod("s3://b/m"),
        storage_container_with(resources={"limits": {"cpu": "much"}}),
        '"much"',
    ),
    "a request above its limit": (
        plain_pod("s3://b/m"),
        storage_container_with(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        "cpu request 2",
    ),
}


@pytest.mark.parametrize(("pod", "objects", "words"), INVALID.values(), ids=INVALID)
def test_invalid_container_is_denied(pod: JsonObject, objects: JsonObject, words: str) -> None:
    message = denial(pod, objects)
    assert 'ClusterStorageContainer "a"' in message
    assert words in message


HOSTILE = ["(a+)+$", "(a|aa)+$", "(.*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){500}a{500}"]


@pytest.mark.parametrize("regex", HOSTILE)
def test_regex_matches_in_linear_time(regex: str) -> None:
    # A backtracking matcher takes exponential time.
    pod = plain_pod("s3://" + "a" * 4000 + "!")
    assert initializer(pod, storage_container("a", "~" + regex))["args"][1] == "/mnt/models"
