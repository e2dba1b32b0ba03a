"""Volumes of the pod that are mounted inside a model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import JsonObject, a_container, answer, plain_pod, several
from webhook import annotations as keys

S3 = "s3://bucket/model"


def _warnings(pod: JsonObject, *paths: str, **fields: Any) -> list[str]:
    mounts = [{"name": f"v{index}", "mountPath": path, **fields} for index, path in enumerate(paths)]
    pod["spec"]["containers"] = [a_container(volumeMounts=mounts)]
    pod["spec"]["volumes"] = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    found: list[str] = answer(pod).get("warnings", [])
    return found


@pytest.mark.parametrize(
    ("pod", "path"),
    [
        (plain_pod(S3), "/mnt/models/cache"),
        (plain_pod(S3), "/mnt/models/a/b/"),
        (plain_pod("pvc://foo/m"), "/mnt/models/cache"),
        (plain_pod("pvc://foo/m", annotations={keys.PVC_MOUNT: "copy"}), "/mnt/models/cache"),
        (several((S3, "/mnt/a"), (S3, "/mnt/b")), "/mnt/c"),
    ],
)
def test_mount_inside_a_read_only_model_is_warned_about(pod: JsonObject, path: str) -> None:
    (warning,) = _warnings(pod, "/data", path)
    assert f'container "server" mounts volume "v1" at "{path.rstrip("/")}"' in warning
    assert keys.READ_ONLY in warning


@pytest.mark.parametrize(
    ("pod", "path"),
    [
        (plain_pod(S3), "/mnt/models-cache"),
        (plain_pod(S3), "/mnt"),
        (plain_pod(S3, annotations={keys.READ_ONLY: "false"}), "/mnt/models/cache"),
        (plain_pod("pvc://foo/m.onnx"), "/mnt/models/cache"),
        (plain_pod("pvc://foo/m.onnx"), "/mnt/models"),
        (several((S3, "/mnt/a"), (S3, "/mnt/b"), ("pvc://foo", "/mnt/c"), ("pvc://foo/m.onnx", "/mnt/d")), "/data"),
    ],
)
def test_other_mounts_are_not_warned_about(pod: JsonObject, path: str) -> None:
    assert _warnings(pod, path) == []
    assert _warnings(pod, path, readOnly=True) == []
