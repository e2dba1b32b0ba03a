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


def test_a_model_that_pods_share_cannot_be_made_writable() -> None:
    (warning,) = _warnings(plain_pod(S3, annotations={keys.CACHE: "pvc://cache"}), "/mnt/models/cache")
    assert "move the mount" in warning
    assert keys.READ_ONLY not in warning


def test_the_claim_of_a_copy_may_be_inside_the_model() -> None:
    annotations = {keys.PVC_MOUNT: "copy", keys.MOUNT_PATH: "/mnt"}
    assert "warnings" not in answer(plain_pod("pvc://foo/m", annotations=annotations))


@pytest.mark.parametrize("read_only", ["true", "false"])
@pytest.mark.parametrize("path", ["/mnt/m/a", "/mnt/m/b", "/mnt/m/b/c/", "/mnt//m/b"])
def test_a_volume_of_the_pod_that_hides_a_download_is_denied(path: str, read_only: str) -> None:
    pod = several((S3, "/mnt/m/a"), (S3, "/mnt/m/b/c"))
    pod["metadata"]["annotations"][keys.READ_ONLY] = read_only
    pod["spec"] |= {
        "containers": [a_container(volumeMounts=[{"name": "own", "mountPath": path}])],
        "volumes": [{"name": "own", "emptyDir": {}}],
    }
    outcome = answer(pod)
    assert not outcome["allowed"]
    assert "which hides a downloaded model" in outcome["status"]["message"]


@pytest.mark.parametrize("path", ["/mnt/m/ab", "/mnt/m/b/cc", "/mnt/m/a/inner", "/mnt"])
def test_a_volume_of_the_pod_that_hides_no_download_is_admitted(path: str) -> None:
    pod = several((S3, "/mnt/m/a"), (S3, "/mnt/m/b/c"))
    pod["spec"] |= {
        "containers": [a_container(volumeMounts=[{"name": "own", "mountPath": path}])],
        "volumes": [{"name": "own", "emptyDir": {}}],
    }
    assert answer(pod)["allowed"]
