"""Annotations that override the init container's image and resources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import answer, initializer, mutated, plain_pod
from webhook import annotations as keys

S3 = "s3://bucket/model"


def _settings(**overrides: Any) -> dict[str, Any]:
    return {"storageDefaults": {"overrides": overrides}}


def _denial(settings: Any, annotations: dict[str, str], **spec: Any) -> tuple[int, str]:
    response = answer(plain_pod(S3, annotations=annotations, **spec), settings)
    assert response["allowed"] is False
    return response["status"]["code"], response["status"]["message"]


@pytest.mark.parametrize(
    ("annotations", "requests", "limits"),
    [
        ({keys.CPU_LIMIT: "4"}, {}, {"cpu": "4"}),
        ({keys.CPU_REQUEST: "1"}, {"cpu": "1"}, {}),
        ({keys.CPU_REQUEST: "2", keys.CPU_LIMIT: "2"}, {"cpu": "2"}, {"cpu": "2"}),
        ({keys.CPU_LIMIT: "50m"}, {"cpu": "50m"}, {"cpu": "50m"}),
        ({keys.MEMORY_LIMIT: " 8Gi "}, {}, {"memory": "8Gi"}),
        ({keys.MEMORY_LIMIT: "64Mi"}, {"memory": "64Mi"}, {"memory": "64Mi"}),
        ({keys.MEMORY_REQUEST: "1024Mi"}, {"memory": "1024Mi"}, {}),
        ({keys.EPHEMERAL_STORAGE_LIMIT: "20Gi"}, {}, {"ephemeral-storage": "20Gi"}),
        ({keys.EPHEMERAL_STORAGE_REQUEST: "20Gi"}, {"ephemeral-storage": "20Gi"}, {}),
    ],
)
def test_annotations_take_precedence_over_the_settings(
    annotations: dict[str, str], requests: dict[str, str], limits: dict[str, str]
) -> None:
    resources = initializer(mutated(plain_pod(S3, annotations=annotations)))["resources"]
    assert resources["requests"] == {"cpu": "100m", "memory": "100Mi", **requests}
    assert resources["limits"] == {"cpu": "1", "memory": "1Gi", **limits}


@pytest.mark.parametrize(
    ("maximums", "annotations", "allowed"),
    [
        ({"cpuLimit": "2"}, {keys.CPU_LIMIT: "2000m"}, True),
        ({"cpuLimit": "2"}, {keys.CPU_LIMIT: "2001m"}, False),
        ({"cpuLimit": "500m"}, {keys.CPU_REQUEST: "600m"}, False),
        ({"memoryLimit": "2Gi"}, {keys.MEMORY_LIMIT: "2048Mi"}, True),
        ({"memoryLimit": "2Gi"}, {keys.MEMORY_LIMIT: "3G"}, False),
        ({"ephemeralStorageLimit": "1Gi"}, {keys.EPHEMERAL_STORAGE_LIMIT: "1G"}, True),
        ({"ephemeralStorageLimit": "1Gi"}, {keys.EPHEMERAL_STORAGE_REQUEST: "2Gi"}, False),
        ({"memoryLimit": "2Gi"}, {keys.CPU_LIMIT: "64"}, True),
    ],
)
def test_values_above_the_maximum_are_forbidden(
    maximums: dict[str, str], annotations: dict[str, str], allowed: bool
) -> None:
    if allowed:
        mutated(plain_pod(S3, annotations=annotations), _settings(**maximums))
        return
    code, message = _denial(_settings(**maximums), annotations)
    assert code == 403
    ((key, value),), ((setting, maximum),) = annotations.items(), maximums.items()
    assert all(part in message for part in (key, f'"{value}"', f"storageDefaults.overrides.{setting}", maximum))


@pytest.mark.parametrize("value", ["0", "0m", "0e3", "-0", "+0.0Gi", ".0"])
@pytest.mark.parametrize(
    ("key", "setting"),
    [
        (keys.CPU_LIMIT, "cpuLimit"),
        (keys.MEMORY_LIMIT, "memoryLimit"),
        (keys.EPHEMERAL_STORAGE_LIMIT, "ephemeralStorageLimit"),
    ],
)
def test_no_limit_is_more_than_any_maximum(key: str, setting: str, value: str) -> None:
    code, message = _denial(_settings(**{setting: "1Gi"}), {key: value})
    assert code == 403
    assert all(part in message for part in (key, f'"{value}"', "means no limit", setting, "1Gi"))
    assert mutated(plain_pod(S3, annotations={key: value}))


@pytest.mark.parametrize("value", ["", "much", "-1", "1 Gi", "1e99999", "9" * 200_000, "\x00"])
@pytest.mark.parametrize("key", [keys.CPU_LIMIT, keys.MEMORY_REQUEST, keys.EPHEMERAL_STORAGE_LIMIT])
def test_invalid_quantity_is_denied(key: str, value: str) -> None:
    code, message = _denial({}, {key: value})
    assert code == 422
    assert f"annotation {key} " in message
    assert "quantity" in message
    assert len(message) < 500


def test_request_above_the_limit_is_denied() -> None:
    code, message = _denial({}, {keys.CPU_REQUEST: "2"})
    assert code == 422
    assert f'{keys.CPU_REQUEST} "2" is more than the limit 1' in message
    assert keys.CPU_LIMIT in message


@pytest.mark.parametrize(
    ("patterns", "image", "allowed"),
    [
        ([], "a:1", False),
        (["*"], "a:1", True),
        (["registry.example.com/*"], "registry.example.com/team/initializer:2", True),
        (["registry.example.com/*"], " registry.example.com/a:2\n", True),
        (["registry.example.com/*"], "registry.example.org/a:2", False),
        (["registry.example.com/*"], "registry.example.com.evil.example/a", False),
        (["a:1", "b:?"], "b:2", True),
        (["a:1", "b:?"], "b:22", False),
        (["*@sha256:*"], "a@sha256:" + "0a" * 32, True),
        (["*@sha256:*"], "a:latest", False),
        (["A:1"], "a:1", False),
    ],
)
def test_allowed_images_from_the_settings(patterns: list[str], image: str, allowed: bool) -> None:
    if allowed:
        init_container = initializer(mutated(plain_pod(S3, annotations={keys.IMAGE: image}), _settings(image=patterns)))
        assert init_container["image"] == image.strip()
        return
    code, message = _denial(_settings(image=patterns), {keys.IMAGE: image})
    assert code == 403
    assert all(part in message for part in (keys.IMAGE, image, "storageDefaults.overrides.image"))


@pytest.mark.parametrize("image", ["", " ", "a b", "a\nb", "a\x00", "ä:1", "a" * 2_000])
def test_invalid_image_reference_is_denied(image: str) -> None:
    code, message = _denial(_settings(image=["*"]), {keys.IMAGE: image})
    assert code == 422
    assert f"annotation {keys.IMAGE} " in message


def test_no_effect_without_an_init_container() -> None:
    assert "initContainers" not in mutated(plain_pod("pvc://foo", annotations={keys.CPU_LIMIT: "4"}))["spec"]
