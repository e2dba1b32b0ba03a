"""The download flow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.pods import asking, container, denial, init_container, kserve_pod, mounts, mutated, named, plain_pod
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
def test_a_model_is_downloaded(uri: str) -> None:
    pod = mutated(asking(uri))
    assert init_container(pod)["args"] == [uri, "/mnt/models"]
    assert init_container(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]
    assert mounts(pod) == [{"name": PROVISION, "mountPath": "/mnt/models", "readOnly": True}]
    assert pod["spec"]["volumes"] == [{"name": PROVISION, "emptyDir": {}}]


def test_the_init_container_is_the_settings_own() -> None:
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
    made = init_container(mutated(asking(S3), settings))
    assert made["image"] == "registry.example.com/initializer:3"
    assert made["resources"] == {
        "requests": {"cpu": "200m", "memory": "1Gi", "ephemeral-storage": "10Gi"},
        "limits": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "20Gi"},
    }
    assert made["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_embedded_settings_are_kserves_defaults() -> None:
    made = init_container(mutated(asking(S3)))
    assert made["image"] == "kserve/storage-initializer:latest"
    assert made["resources"] == {
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
def test_the_volume_is_as_large_as_the_settings_allow(empty_dir: dict[str, str], expected: dict[str, str]) -> None:
    pod = mutated(asking(S3), {"storageDefaults": {"emptyDir": empty_dir}})
    assert pod["spec"]["volumes"] == [{"name": PROVISION, "emptyDir": expected}]


def test_the_init_container_writes_even_where_the_servers_may() -> None:
    pod = mutated(asking(S3, {keys.READ_ONLY: "false"}))
    assert mounts(pod) == init_container(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]


def test_the_model_goes_where_the_mount_path_says() -> None:
    pod = mutated(asking(S3, {keys.MOUNT_PATH: "/opt/model"}))
    assert init_container(pod)["args"] == [S3, "/opt/model"]
    assert mounts(pod)[0]["mountPath"] == init_container(pod)["volumeMounts"][0]["mountPath"] == "/opt/model"


def test_both_servers_of_a_predictor_get_the_model() -> None:
    containers = [container("transformer-container"), container("agent"), container("worker-container")]
    pod = mutated(kserve_pod({keys.SOURCE_URI: S3}, containers=containers))
    assert len(mounts(pod, "worker-container")) == len(mounts(pod, "transformer-container")) == 1
    assert mounts(pod, "agent") == []


# --- A volume that the author brought -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"emptyDir": {"medium": "Memory"}},
        {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"persistentVolumeClaim": {"claimName": "cache"}},
        {},
    ],
)
def test_the_model_is_downloaded_to_a_writable_volume_that_is_there(source: dict[str, Any]) -> None:
    volumes = [{"name": PROVISION, **source}]
    pod = mutated(asking(S3, volumes=volumes), {"storageDefaults": {"emptyDir": {"sizeLimit": "1Gi"}}})
    assert pod["spec"]["volumes"] == volumes
    assert init_container(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}]


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
def test_a_volume_that_cannot_be_downloaded_to_is_denied(source: dict[str, Any], named_in_message: str) -> None:
    code, message = denial(asking(S3, volumes=[{"name": PROVISION, **source}]))
    assert code == 422
    assert PROVISION in message
    assert named_in_message in message


# --- Copied from a claim ------------------------------------------------------------------------------------------

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
def test_a_claim_is_copied(uri: str, location: str, read_only: bool) -> None:
    pod = mutated(asking(uri, {keys.READ_ONLY: str(read_only)}), COPY)
    flag = {"readOnly": True} if read_only else {}
    claim = {"name": "kserve-pvc-source", "mountPath": "/mnt/pvc", **flag}
    assert init_container(pod)["args"] == [location, "/mnt/models"]
    assert init_container(pod)["volumeMounts"] == [{"name": PROVISION, "mountPath": "/mnt/models"}, claim]
    assert mounts(pod) == [{"name": PROVISION, "mountPath": "/mnt/models", **flag}, claim]
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
def test_the_annotation_stands_over_the_setting(annotation: str | None, settings: Any, copied: bool) -> None:
    pod = mutated(asking("pvc://foo/iris", {keys.PVC_MOUNT: annotation} if annotation else {}), settings)
    assert bool(pod["spec"].get("initContainers")) is copied


@pytest.mark.parametrize("path", ["/mnt/pvc", "/mnt/pvc/models"])
def test_a_copy_cannot_go_where_the_claim_is_mounted(path: str) -> None:
    _, message = denial(asking("pvc://foo/iris", {keys.MOUNT_PATH: path}), COPY)
    assert keys.MOUNT_PATH in message
    assert path in message


# --- Several ------------------------------------------------------------------------------------------------------


def _several(*sources: tuple[str, str], **spec: Any) -> dict[str, Any]:
    return plain_pod({keys.URIS: json.dumps([{"uri": uri, "mountPath": path} for uri, path in sources])}, **spec)


@pytest.mark.parametrize(
    ("paths", "place", "volume"),
    [
        (["/mnt/base"], "/mnt/base", "mnt-base"),
        (["/mnt/base", "/mnt/adapter"], "/mnt", "mnt"),
        (["/mnt/models/base", "/mnt/models/a/b"], "/mnt/models", "mnt-models"),
        (["/mnt/models", "/mnt/models/adapter"], "/mnt/models", "mnt-models"),
        (["/mnt/models-a", "/mnt/models-b"], "/mnt", "mnt"),
    ],
)
def test_all_downloads_share_one_init_container_and_one_volume(paths: list[str], place: str, volume: str) -> None:
    pod = mutated(_several(*((f"s3://bucket{path}", path) for path in paths)))
    assert init_container(pod)["args"] == [word for path in paths for word in (f"s3://bucket{path}", path)]
    assert init_container(pod)["volumeMounts"] == [{"name": volume, "mountPath": place}]
    assert mounts(pod) == [{"name": volume, "mountPath": place, "readOnly": True}]
    assert pod["spec"]["volumes"] == [{"name": volume, "emptyDir": {}}]


def test_downloads_without_a_common_directory_are_denied() -> None:
    _, message = denial(_several((S3, "/mnt/a"), (S3, "/opt/b")))
    assert keys.URIS in message
    assert "/mnt" in message


def test_claims_and_downloads_mix() -> None:
    pod = mutated(_several(("pvc://foo/base", "/mnt/base"), (S3, "/mnt/adapters/a"), ("hf://o/m", "/mnt/adapters/b")))
    assert [(mount["name"], mount["mountPath"]) for mount in mounts(pod)] == [
        ("mnt-base", "/mnt/base"),
        ("mnt-adapters", "/mnt/adapters"),
    ]
    assert init_container(pod)["args"] == [S3, "/mnt/adapters/a", "hf://o/m", "/mnt/adapters/b"]


def test_a_claim_below_the_download_directory_finds_its_mount_point() -> None:
    # The servers see that directory read-only: only the init container can have the mount point made.
    pod = mutated(_several(("s3://bucket/a", "/mnt/a"), ("s3://bucket/b", "/mnt/b"), ("pvc://foo/x", "/mnt/c")))
    claim = {"name": "mnt-c", "mountPath": "/mnt/c", "subPath": "x", "readOnly": True}
    assert init_container(pod)["volumeMounts"] == [{"name": "mnt", "mountPath": "/mnt"}, claim]


def test_a_volume_of_the_authors_own_is_not_taken_for_the_downloads() -> None:
    pod = mutated(_several((S3, "/mnt/base"), volumes=[{"name": "mnt-base", "emptyDir": {}}]))
    mine, made = pod["spec"]["volumes"]
    assert mine["name"] == "mnt-base" != made["name"]
    assert mounts(pod)[0]["name"] == made["name"]


# --- In the way ---------------------------------------------------------------------------------------------------


def test_a_container_with_the_initializers_name_is_denied() -> None:
    _, message = denial(asking(S3, containers=[container(), container("storage-initializer")]))
    assert '"storage-initializer" in spec.containers' in message


def test_a_mount_path_that_is_taken_is_denied() -> None:
    taken = container(volumeMounts=[{"name": "data", "mountPath": "/mnt/models/"}])
    _, message = denial(asking(S3, containers=[taken], volumes=[{"name": "data", "emptyDir": {}}]))
    assert '"data"' in message


def test_the_pods_own_init_containers_keep_their_order() -> None:
    pod = mutated(asking(S3, initContainers=[container("b"), container("a")]))
    assert [item["name"] for item in pod["spec"]["initContainers"]] == ["b", "a", "storage-initializer"]


@pytest.mark.parametrize(
    "missing", [{}, {"volumes": None, "initContainers": None}, {"volumes": [], "initContainers": []}]
)
def test_lists_that_are_missing_null_or_empty_are_made(missing: dict[str, Any]) -> None:
    pod = mutated(asking(S3, containers=[container(volumeMounts=None, env=None)], **missing))
    assert named(pod["spec"]["volumes"], PROVISION)
    assert init_container(pod)
