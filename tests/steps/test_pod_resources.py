"""Pod-level resources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import container, denied, initializer, mutated, plain_pod
from webhook import annotations as keys

S3 = "s3://bucket/model"
DEFAULT_REQUESTS = {"cpu": "100m", "memory": "100Mi"}
MODELCARS = {"storageInitializer": {"enableModelcar": True}}


@pytest.mark.parametrize(
    ("resources", "requests"),
    [
        (None, DEFAULT_REQUESTS),
        ({}, DEFAULT_REQUESTS),
        ({"requests": None, "limits": {}}, DEFAULT_REQUESTS),
        ({"requests": {"memory": "64Mi"}}, {"cpu": "100m", "memory": "0"}),
        ({"requests": {"memory": "64Gi", "cpu": 8}}, {"cpu": "0", "memory": "0"}),
        # The API server sets missing requests to the limits before it calls webhooks. A manifest has no such defaults.
        ({"limits": {"memory": "64Mi"}}, {"cpu": "100m", "memory": "64Mi"}),
        ({"limits": {"memory": "64Gi", "cpu": 1}}, DEFAULT_REQUESTS),
        ({"limits": {"memory": "much"}}, DEFAULT_REQUESTS),
    ],
)
def test_init_container_fits_the_pod_level_requests(resources: Any, requests: dict[str, str]) -> None:
    assert initializer(mutated(plain_pod(S3, resources=resources)))["resources"]["requests"] == requests


@pytest.mark.parametrize("name", ["modelcar", "modelcar-init"])
def test_modelcars_fit_the_pod_level_requests(name: str) -> None:
    pod = mutated(plain_pod("oci://registry.example.com/m:1", resources={"requests": {"memory": "64Mi"}}), MODELCARS)
    assert container(pod, name)["resources"]["requests"] == {"cpu": "10m", "memory": "0"}


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_annotation_above_the_pod_level_request_is_denied(kind: str) -> None:
    resources = {kind: {"memory": "64Mi"}}
    message = denied(plain_pod(S3, annotations={keys.MEMORY_REQUEST: "100Mi"}, resources=resources))
    assert f'{keys.MEMORY_REQUEST} "100Mi" is more than the "64Mi"' in message
    assert "spec.resources" in message
    pod = mutated(plain_pod(S3, annotations={keys.MEMORY_REQUEST: "32Mi"}, resources=resources))
    assert initializer(pod)["resources"]["requests"]["memory"] == "32Mi"
