"""Limits of disk and memory that the download shares with the rest of the pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import JsonObject, a_container, answer, plain_pod
from webhook import annotations as keys

S3 = "s3://bucket/model"
DISK = {"limits": {"ephemeral-storage": "1Gi"}}
BY_SETTING = {"storageDefaults": {"ephemeralStorage": {"limit": "2Gi"}}}
BY_ANNOTATION = {str(keys.EPHEMERAL_STORAGE_LIMIT): "2Gi"}


def _warnings(pod: JsonObject, settings: JsonObject | None = None) -> list[str]:
    found: list[str] = answer(pod, settings).get("warnings", [])
    return found


@pytest.mark.parametrize(
    ("annotations", "settings"),
    [(BY_ANNOTATION, {}), ({}, BY_SETTING), (BY_ANNOTATION | {keys.CACHE: "pvc://cache"}, {})],
)
def test_a_disk_limit_that_becomes_that_of_the_pod_is_warned_about(annotations: Any, settings: Any) -> None:
    (warning,) = _warnings(plain_pod(S3, annotations=annotations), settings)
    assert "ephemeral-storage" in warning
    assert '"server"' in warning
    assert '"2Gi"' in warning
    assert len(warning) <= 256


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({}, {}),
        ({"containers": [a_container(resources=DISK)]}, BY_SETTING),
    ],
)
def test_other_disk_limits_are_not_warned_about(fields: Any, settings: Any) -> None:
    assert not _warnings(plain_pod(S3, **fields), settings)


@pytest.mark.parametrize(
    "fields",
    [
        {"containers": [a_container(), a_container("sidecar", resources=DISK)]},
        {"initContainers": [a_container("first", resources=DISK)]},
    ],
)
def test_a_disk_limit_of_other_containers_does_not_help_the_server(fields: Any) -> None:
    (warning,) = _warnings(plain_pod(S3, **fields), BY_SETTING)
    assert 'on container "server": it has none' in warning


def test_a_disk_limit_without_a_download_is_not_warned_about() -> None:
    assert not _warnings(plain_pod("pvc://claim/model"), BY_SETTING)


@pytest.mark.parametrize("size", [{}, {"sizeLimit": "1Gi"}, {"sizeLimit": "1025Mi"}, {"sizeLimit": "897Mi"}])
def test_a_download_to_memory_that_may_exceed_the_limit_is_warned_about(size: dict[str, str]) -> None:
    settings = {"storageDefaults": {"emptyDir": {"medium": "Memory", **size}}}
    (warning,) = _warnings(plain_pod(S3), settings)
    assert "memory limit" in warning
    assert '"1Gi"' in warning
    assert "137" in warning
    assert keys.MEMORY_LIMIT in warning
    assert len(warning) <= 256


def test_a_volume_of_the_pod_in_memory_is_warned_about() -> None:
    volume = {"name": "kserve-provision-location", "emptyDir": {"medium": "Memory"}}
    assert len(_warnings(plain_pod(S3, volumes=[volume]))) == 1


@pytest.mark.parametrize(
    ("empty_dir", "annotations"),
    [
        ({"sizeLimit": "2Gi"}, {}),
        ({"medium": "Memory", "sizeLimit": "896Mi"}, {}),
        ({"medium": "Memory", "sizeLimit": "2Gi"}, {keys.MEMORY_LIMIT: "3Gi"}),
        ({"medium": "Memory", "sizeLimit": "2Gi"}, {keys.CACHE: "pvc://cache"}),
    ],
)
def test_other_volumes_are_not_warned_about(empty_dir: Any, annotations: Any) -> None:
    assert not _warnings(plain_pod(S3, annotations=annotations), {"storageDefaults": {"emptyDir": empty_dir}})
