"""The download by the init container."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import (
    a_container,
    denied,
    initializer,
    kserve_pod,
    mount_list,
    mutated,
    plain_pod,
    several,
    volumes,
)
from webhook import annotations as keys

S3 = "s3://bucket/model"
PROVISION = "kserve-provision-location"


@pytest.mark.parametrize(
    "uri",
    [
        S3,
        "gs://bucket/model",
        "hdfs://namenode:8020/model",
        "webhdfs://namenode/model",
        "hf://org/model:main",
        "modelscope://org/model",
        "http://example.com/model.zip",
        "https://example.com/model.tar.gz?signature=a%2Fb&x=1",
        "https://account.blob.core.windows.net/container/model",
        "file:///srv/model",
        "git://example.com/model.git",
        "oci://registry.example.com/model:1",
        "model",
    ],
)
def test_model_is_downloaded(uri: str) -> None:
    pod = mutated(plain_pod(uri))
    assert initializer(pod)["args"] == [uri, "/mnt/models"]
    assert initializer(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]
    assert mount_list(pod) == [{"name": PROVISION, "mountPath": "/mnt/models", "readOnly": True}]
    assert pod["spec"]["volumes"] == [{"name": PROVISION, "emptyDir": {}}]


def test_init_container_from_the_settings() -> None:
    settings = {
        "storageInitializer": {
            "image": "registry.example.com/initializer:3",
            "cpuRequest": "200m",
            "cpuLimit": 2,
            "memoryRequest": "1Gi",
            "memoryLimit": "4Gi",
        },
        "storageDefaults": {"ephemeralStorage": {"request": "10Gi", "limit": "20Gi"}},
    }
    init_container = initializer(mutated(plain_pod(S3), settings))
    assert init_container["image"] == "registry.example.com/initializer:3"
    assert init_container["resources"] == {
        "requests": {"cpu": "200m", "memory": "1Gi", "ephemeral-storage": "10Gi"},
        "limits": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "20Gi"},
    }
    assert init_container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({"storageInitializer": {"cpuLimit": "0"}}, {"memory": "1Gi"}),
        ({"storageInitializer": {"cpuLimit": 0, "memoryLimit": "0Gi"}}, {}),
        ({"storageDefaults": {"ephemeralStorage": {"request": "1Gi", "limit": "0"}}}, {"cpu": "1", "memory": "1Gi"}),
    ],
)
def test_a_limit_of_zero_is_none(settings: Any, limits: dict[str, str]) -> None:
    resources = initializer(mutated(plain_pod(S3), settings))["resources"]
    assert resources["limits"] == limits
    assert resources["requests"].items() >= {"cpu": "100m", "memory": "100Mi"}.items()


def test_embedded_settings_are_kserve_defaults() -> None:
    init_container = initializer(mutated(plain_pod(S3)))
    assert init_container["image"] == "kserve/storage-initializer:latest"
    assert init_container["resources"] == {
        "requests": {"cpu": "100m", "memory": "100Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("empty_dir", "expected"),
    [
        ({}, {}),
        ({"sizeLimit": "20Gi"}, {"sizeLimit": "20Gi"}),
        ({"medium": "Memory", "sizeLimit": "2Gi"}, {"medium": "Memory", "sizeLimit": "2Gi"}),
    ],
)
def test_empty_dir_from_the_settings(empty_dir: dict[str, str], expected: dict[str, str]) -> None:
    pod = mutated(plain_pod(S3), {"storageDefaults": {"emptyDir": empty_dir}})
    assert pod["spec"]["volumes"] == [{"name": PROVISION, "emptyDir": expected}]


def test_writable_model_is_mounted_without_read_only() -> None:
    pod = mutated(plain_pod(S3, annotations={keys.READ_ONLY: "false"}))
    assert mount_list(pod) == initializer(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]


def test_mount_path_annotation() -> None:
    pod = mutated(plain_pod(S3, annotations={keys.MOUNT_PATH: "/opt/model"}))
    assert initializer(pod)["args"] == [S3, "/opt/model"]
    assert mount_list(pod)[0]["mountPath"] == initializer(pod)["volumeMounts"][0]["mountPath"] == "/opt/model"


def test_every_target_mounts_the_model() -> None:
    pod = mutated(kserve_pod(S3, "transformer-container", "agent", "worker-container"))
    assert len(mount_list(pod, "worker-container")) == len(mount_list(pod, "transformer-container")) == 1
    assert mount_list(pod, "agent") == []


# --- An existing volume of the pod ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"emptyDir": {"medium": "Memory"}},
        {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"persistentVolumeClaim": {"claimName": "cache"}},
        {},
    ],
)
def test_existing_writable_volume_is_used(source: dict[str, Any]) -> None:
    volumes = [{"name": PROVISION, **source}]
    pod = mutated(plain_pod(S3, volumes=volumes), {"storageDefaults": {"emptyDir": {"sizeLimit": "1Gi"}}})
    assert pod["spec"]["volumes"] == volumes
    assert initializer(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]


@pytest.mark.parametrize(
    ("source", "named_in_message"),
    [
        ({"configMap": {"name": "c"}}, "configMap"),
        ({"secret": {"secretName": "s"}}, "secret"),
        ({"image": {"reference": "r"}}, "image"),
        ({"persistentVolumeClaim": {"claimName": "cache", "readOnly": True}}, "persistentVolumeClaim"),
        ({"hostPath": {"path": "/"}}, "hostPath"),
    ],
)
def test_existing_volume_that_is_not_writable_is_denied(source: dict[str, Any], named_in_message: str) -> None:
    message = denied(plain_pod(S3, volumes=[{"name": PROVISION, **source}]))
    assert PROVISION in message
    assert named_in_message in message


# --- Copied from a claim --------------------------------------------------------------------------------------------

COPY = {"storageInitializer": {"enableDirectPvcVolumeMount": False}}


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("pvc://foo", "/mnt/pvc"),
        ("pvc://foo/", "/mnt/pvc"),
        ("pvc://foo/iris/v1/", "/mnt/pvc/iris/v1"),
        ("pvc://foo/iris/model.joblib", "/mnt/pvc/iris/model.joblib"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_claim_is_copied(uri: str, location: str, read_only: bool) -> None:
    pod = mutated(plain_pod(uri, annotations={keys.READ_ONLY: str(read_only)}), COPY)
    flag = {"readOnly": True} if read_only else {}
    claim = {"name": "kserve-pvc-source", "mountPath": "/mnt/pvc", **flag}
    assert initializer(pod)["args"] == [location, "/mnt/models"]
    assert initializer(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}, claim]
    assert mount_list(pod) == [{"name": PROVISION, "mountPath": "/mnt/models", **flag}, claim]
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {PROVISION, "kserve-pvc-source"}


@pytest.mark.parametrize(
    ("annotation", "settings", "copied"),
    [
        (None, {}, False),
        (None, COPY, True),
        ("copy", {}, True),
        ("direct", COPY, False),
    ],
)
def test_annotation_takes_precedence_over_the_setting(annotation: str | None, settings: Any, copied: bool) -> None:
    pod = mutated(plain_pod("pvc://foo/iris", annotations={keys.PVC_MOUNT: annotation} if annotation else {}), settings)
    assert bool(pod["spec"].get("initContainers")) is copied


@pytest.mark.parametrize("path", ["/mnt/pvc", "/mnt/pvc/models"])
def test_mount_path_inside_the_copied_claim_is_denied(path: str) -> None:
    message = denied(plain_pod("pvc://foo/iris", annotations={keys.MOUNT_PATH: path}), COPY)
    assert keys.MOUNT_PATH in message
    assert path in message


# --- Several --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "directory", "volume"),
    [
        (["/mnt/base"], "/mnt/base", "mnt-base"),
        (["/mnt/base", "/mnt/adapter"], "/mnt", "mnt"),
        (["/mnt/models/base", "/mnt/models/a/b"], "/mnt/models", "mnt-models"),
        (["/mnt/models", "/mnt/models/adapter"], "/mnt/models", "mnt-models"),
        (["/mnt/models-a", "/mnt/models-b"], "/mnt", "mnt"),
    ],
)
def test_downloads_share_one_init_container_and_one_volume(paths: list[str], directory: str, volume: str) -> None:
    pod = mutated(several(*((f"s3://bucket{path}", path) for path in paths)))
    assert initializer(pod)["args"] == [arg for path in paths for arg in (f"s3://bucket{path}", path)]
    assert initializer(pod)["volumeMounts"] == [{"name": volume, "mountPath": directory}]
    assert mount_list(pod) == [{"name": volume, "mountPath": directory, "readOnly": True}]
    assert pod["spec"]["volumes"] == [{"name": volume, "emptyDir": {}}]


def test_downloads_without_a_common_parent_are_denied() -> None:
    message = denied(several((S3, "/mnt/a"), (S3, "/opt/b")))
    assert keys.URIS in message
    assert "/mnt" in message


def test_claims_and_downloads_in_one_pod() -> None:
    pod = mutated(several(("pvc://foo/base", "/mnt/base"), (S3, "/mnt/adapters/a"), ("hf://o/m", "/mnt/adapters/b")))
    assert [(mount["name"], mount["mountPath"]) for mount in mount_list(pod)] == [
        ("mnt-base", "/mnt/base"),
        ("mnt-adapters", "/mnt/adapters"),
    ]
    assert initializer(pod)["args"] == [S3, "/mnt/adapters/a", "hf://o/m", "/mnt/adapters/b"]


def test_init_container_mounts_a_claim_inside_the_download_directory() -> None:
    # The targets mount that directory read-only: only the init container's mount can create the mount point.
    pod = mutated(several(("s3://bucket/a", "/mnt/a"), ("s3://bucket/b", "/mnt/b"), ("pvc://foo/x", "/mnt/c")))
    claim = {"name": "mnt-c", "mountPath": "/mnt/c", "subPath": "x", "readOnly": True}
    assert initializer(pod)["volumeMounts"] == [{"name": "mnt", "mountPath": "/mnt"}, claim]


def test_existing_volume_of_the_same_name_is_not_used() -> None:
    pod = mutated(several((S3, "/mnt/base"), volumes=[{"name": "mnt-base", "emptyDir": {}}]))
    existing, added = pod["spec"]["volumes"]
    assert existing["name"] == "mnt-base" != added["name"]
    assert mount_list(pod)[0]["name"] == added["name"]


# --- Conflicts ------------------------------------------------------------------------------------------------------


def test_container_named_like_the_init_container_is_denied() -> None:
    message = denied(plain_pod(S3, containers=[a_container(), a_container("storage-initializer")]))
    assert '"storage-initializer" in spec.containers' in message


def test_mount_path_in_use_is_denied() -> None:
    taken = a_container(volumeMounts=[{"name": "data", "mountPath": "/mnt/models/"}])
    message = denied(plain_pod(S3, containers=[taken], volumes=[{"name": "data", "emptyDir": {}}]))
    assert '"data"' in message


def test_existing_init_containers_keep_their_order() -> None:
    pod = mutated(plain_pod(S3, initContainers=[a_container("b"), a_container("a")]))
    assert [item["name"] for item in pod["spec"]["initContainers"]] == ["b", "a", "storage-initializer"]


@pytest.mark.parametrize(
    "missing", [{}, {"volumes": None, "initContainers": None}, {"volumes": [], "initContainers": []}]
)
def test_missing_null_and_empty_lists_are_created(missing: dict[str, Any]) -> None:
    pod = mutated(plain_pod(S3, containers=[a_container(volumeMounts=None, env=None)], **missing))
    assert PROVISION in volumes(pod)
    assert initializer(pod)
