"""Claims that are mounted directly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import (
    a_container,
    answer,
    denied,
    kserve_pod,
    mount_list,
    mutated,
    plain_pod,
    several,
    volumes,
)
from webhook import annotations as keys


def _mount(path: str = "/mnt/models", **fields: Any) -> dict[str, Any]:
    return {"name": "kserve-pvc-source", "mountPath": path, **fields, "readOnly": True}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pvc://foo", _mount()),
        ("pvc://foo/", _mount()),
        ("pvc://foo//", _mount()),
        ("  pvc://foo\n", _mount()),
        ("pvc://foo/iris", _mount(subPath="iris")),
        ("pvc://foo/iris/", _mount(subPath="iris")),
        ("pvc://foo//models/./iris//", _mount(subPath="models/iris")),
        ("pvc://foo/a..b", _mount(subPath="a..b")),
        ("pvc://foo.bar-1/iris", _mount(subPath="iris")),
        ("pvc://foo/iris/model.joblib", _mount("/mnt/models/model.joblib", subPath="iris/model.joblib")),
        ("pvc://foo/model.joblib", _mount("/mnt/models/model.joblib", subPath="model.joblib")),
        ("pvc://foo/MODEL.ONNX", _mount("/mnt/models/MODEL.ONNX", subPath="MODEL.ONNX")),
        ("pvc://foo/iris/model.joblib/", _mount(subPath="iris/model.joblib")),
        ("pvc://foo/iris/model.tar.gz", _mount(subPath="iris/model.tar.gz")),
        ("pvc://foo/iris.v1", _mount(subPath="iris.v1")),
    ],
)
def test_claim_is_mounted_directly(uri: str, expected: dict[str, Any]) -> None:
    pod = mutated(plain_pod(uri))
    assert mount_list(pod) == [expected]
    claim = uri.strip().removeprefix("pvc://").partition("/")[0]
    assert pod["spec"]["volumes"] == [{"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim}}]
    assert "initContainers" not in pod["spec"]


@pytest.mark.parametrize(
    ("path", "path_type", "expected"),
    [
        ("iris/weights", "file", _mount("/mnt/models/weights", subPath="iris/weights")),
        ("iris/model.joblib", "directory", _mount(subPath="iris/model.joblib")),
        ("iris/model.joblib", "auto", _mount("/mnt/models/model.joblib", subPath="iris/model.joblib")),
        ("iris/model.joblib/", "file", _mount(subPath="iris/model.joblib")),
        ("a:b.onnx", "directory", _mount(subPath="a:b.onnx")),
    ],
)
def test_path_type_annotation(path: str, path_type: str, expected: dict[str, Any]) -> None:
    pod = mutated(plain_pod(f"pvc://foo/{path}", annotations={keys.PATH_TYPE: path_type}))
    assert mount_list(pod) == [expected]


SINGLE_FILES = (
    ".joblib .pkl .pickle .onnx .bst .ubj .pt .pth .safetensors .gguf .ggml .bin .h5 .keras .tflite .pmml .cbm .lgb "
    ".npz .mlmodel .engine .plan .json .txt .ckpt .msgpack .mar .graphdef"
).split()


@pytest.mark.parametrize("extension", SINGLE_FILES)
def test_a_model_file_is_mounted_inside_the_mount_path(extension: str) -> None:
    pod = plain_pod(f"pvc://models/xgb/model{extension}")
    assert mount_list(mutated(pod)) == [_mount(f"/mnt/models/model{extension}", subPath=f"xgb/model{extension}")]
    assert "warnings" not in answer(pod)


def test_single_file_extensions_from_the_settings() -> None:
    settings = {"storageDefaults": {"singleFile": [".weights"]}}
    assert mount_list(mutated(plain_pod("pvc://foo/a.weights"), settings)) == [
        _mount("/mnt/models/a.weights", subPath="a.weights")
    ]
    assert mount_list(mutated(plain_pod("pvc://foo/a.onnx"), settings)) == [_mount(subPath="a.onnx")]


@pytest.mark.parametrize(
    ("annotations", "settings", "writable"),
    [
        ({}, {}, False),
        ({keys.READ_ONLY: "true"}, {}, False),
        ({keys.READ_ONLY: "false"}, {}, True),
        ({keys.READ_ONLY: "FALSE"}, {}, True),
        ({keys.READ_ONLY: " False "}, {}, True),
        ({keys.READ_ONLY: "no"}, {}, False),
        ({keys.READ_ONLY: ""}, {}, False),
        ({}, {"readOnly": False}, True),
        ({keys.READ_ONLY: "true"}, {"readOnly": False}, False),
        ({keys.READ_ONLY: "no"}, {"readOnly": False}, False),
        ({}, {"readOnly": False, "allowReadWrite": False}, False),
        ({keys.READ_ONLY: "false"}, {"allowReadWrite": ["models"]}, True),
    ],
)
def test_claim_is_read_only_unless_requested_otherwise(
    annotations: dict[str, str], settings: Any, writable: bool
) -> None:
    pod = mutated(plain_pod("pvc://foo/iris", annotations=annotations), {"storageDefaults": settings})
    assert ("readOnly" not in mount_list(pod)[0]) is writable


def test_only_targets_mount_the_claim() -> None:
    pod = mutated(kserve_pod("pvc://foo/iris", "kserve-container", "queue-proxy", "transformer-container"))
    assert mount_list(pod, "kserve-container") == mount_list(pod, "transformer-container") == [_mount(subPath="iris")]
    assert mount_list(pod, "queue-proxy") == []


def test_mount_path_annotation() -> None:
    pod = mutated(plain_pod("pvc://foo/iris/model.onnx", annotations={keys.MOUNT_PATH: "/opt//models/"}))
    assert mount_list(pod) == [_mount("/opt/models/model.onnx", subPath="iris/model.onnx")]


def test_other_mounts_are_kept() -> None:
    existing = {"name": "data", "mountPath": "/data"}
    volumes = [{"name": "data", "emptyDir": {}}]
    pod = mutated(plain_pod("pvc://foo", containers=[a_container(volumeMounts=[existing])], volumes=volumes))
    assert mount_list(pod) == [existing, _mount()]
    assert pod["spec"]["volumes"][0] == volumes[0]


# --- Several --------------------------------------------------------------------------------------------------------


def test_several_claims_are_mounted_at_their_own_paths() -> None:
    pod = mutated(several(("pvc://foo/base", "/mnt/base"), ("pvc://bar/a.gguf", "/mnt/adapter/")))
    assert mount_list(pod) == [
        {"name": "mnt-base", "mountPath": "/mnt/base", "subPath": "base", "readOnly": True},
        {"name": "mnt-adapter", "mountPath": "/mnt/adapter/a.gguf", "subPath": "a.gguf", "readOnly": True},
    ]
    assert pod["spec"]["volumes"] == [
        {"name": "mnt-base", "persistentVolumeClaim": {"claimName": "foo"}},
        {"name": "mnt-adapter", "persistentVolumeClaim": {"claimName": "bar"}},
    ]


@pytest.mark.parametrize(
    "path", ["/mnt/Base", "/mnt/my_model", "/mnt/модель", "/mnt/" + "a" * 80, "/模型", "/mnt/base-", "/mnt/data"]
)
def test_volume_name_contains_a_hash_when_the_path_has_no_free_name(path: str) -> None:
    pod = mutated(several(("pvc://foo/base", path), volumes=[{"name": "mnt-data", "emptyDir": {}}]))
    (mount,) = mount_list(pod)
    assert mount["mountPath"] == path
    assert mount["name"] != "mnt-data"
    assert len(mount["name"]) <= 63
    assert volumes(pod)[mount["name"]] == {"persistentVolumeClaim": {"claimName": "foo"}}


def test_paths_with_the_same_volume_name_do_not_share_a_volume() -> None:
    pod = mutated(several(("pvc://foo/x", "/mnt/a/b"), ("pvc://bar/x", "/mnt/a-b")))
    first, second = mount_list(pod)
    assert first["name"] == "mnt-a-b" != second["name"]
    assert volumes(pod)[second["name"]] == {"persistentVolumeClaim": {"claimName": "bar"}}


# --- Conflicts ------------------------------------------------------------------------------------------------------


def _pod_that_mounts(*existing: dict[str, Any], uri: str = "pvc://foo/iris", **fields: Any) -> dict[str, Any]:
    volumes = [{"name": "data", "emptyDir": {}}]
    return plain_pod(uri, containers=[a_container(volumeMounts=list(existing), **fields)], volumes=volumes)


@pytest.mark.parametrize("path", ["/mnt/models", "/mnt/models/", "/mnt//models", "/mnt/./models", "mnt/models"])
def test_mount_path_in_use_is_denied(path: str) -> None:
    message = denied(_pod_that_mounts({"name": "data", "mountPath": path}))
    assert f'container "server" already mounts volume "data" at "{path}"' in message


def test_single_file_can_be_mounted_inside_another_mount() -> None:
    pod = mutated(_pod_that_mounts({"name": "data", "mountPath": "/mnt/models"}, uri="pvc://foo/a.onnx"))
    assert [mount["mountPath"] for mount in mount_list(pod)] == ["/mnt/models", "/mnt/models/a.onnx"]


def test_block_device_at_the_mount_path_is_denied() -> None:
    devices = [{"name": "disk", "devicePath": "/mnt/models"}]
    message = denied(_pod_that_mounts(volumeDevices=devices))
    assert '"disk"' in message
    assert "/mnt/models" in message


@pytest.mark.parametrize(
    ("volume", "described"),
    [
        ({"emptyDir": {}}, 'of kind "emptyDir"'),
        ({"configMap": {"name": "c"}}, 'configMap "c"'),
        ({"persistentVolumeClaim": {"claimName": "bar"}}, 'persistentVolumeClaim "bar"'),
        ({"nfs": {"server": "a", "path": "/"}}, 'of kind "nfs"'),
    ],
)
def test_another_volume_of_the_same_name_is_denied(volume: dict[str, Any], described: str) -> None:
    message = denied(plain_pod("pvc://foo", volumes=[{"name": "kserve-pvc-source", **volume}]))
    assert f'the pod already has a volume "kserve-pvc-source", {described}' in message
    assert 'persistentVolumeClaim "foo"' in message
    assert "rename" in message


# --- Existing mounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "existing",
    [
        {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "subPath": "iris/model.onnx"},
        {"name": "kserve-pvc-source", "mountPath": "/mnt/models/", "subPath": "iris//model.onnx", "readOnly": False},
        {
            "name": "kserve-pvc-source",
            "mountPath": "/mnt/models/model.onnx",
            "subPath": "iris/model.onnx",
            "recursiveReadOnly": "Disabled",
        },
    ],
)
def test_existing_mount_is_updated(existing: dict[str, Any]) -> None:
    volumes = [{"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo", "readOnly": False}}]
    server = a_container(volumeMounts=[existing])
    pod = mutated(plain_pod("pvc://foo/iris/model.onnx", containers=[server], volumes=volumes))
    (mount,) = mount_list(pod)
    mount.pop("recursiveReadOnly", None)
    assert mount == _mount("/mnt/models/model.onnx", subPath="iris/model.onnx")
    assert pod["spec"]["volumes"] == volumes


def test_writable_mount_loses_recursive_read_only() -> None:
    # Kubernetes: recursiveReadOnly may only be set where readOnly is true.
    existing = {
        "name": "kserve-pvc-source",
        "mountPath": "/mnt/models",
        "readOnly": True,
        "recursiveReadOnly": "Enabled",
    }
    volumes = [{"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}}]
    server = a_container(volumeMounts=[existing])
    pod = mutated(plain_pod("pvc://foo", annotations={keys.READ_ONLY: "false"}, containers=[server], volumes=volumes))
    assert mount_list(pod) == [{"name": "kserve-pvc-source", "mountPath": "/mnt/models"}]


def test_mount_is_not_moved_to_a_path_in_use() -> None:
    existing = [
        {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "subPath": "a.onnx"},
        {"name": "data", "mountPath": "/mnt/models/a.onnx"},
    ]
    volumes = [
        {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}},
        {"name": "data", "emptyDir": {}},
    ]
    message = denied(plain_pod("pvc://foo/a.onnx", containers=[a_container(volumeMounts=existing)], volumes=volumes))
    assert 'already mounts volume "data" at "/mnt/models/a.onnx"' in message


def test_mount_with_a_sub_path_expression_is_not_updated() -> None:
    existing = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "subPathExpr": "$(POD_NAME)"}
    volumes = [{"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}}]
    message = denied(plain_pod("pvc://foo", containers=[a_container(volumeMounts=[existing])], volumes=volumes))
    assert "already mounts" in message
