"""Pods that request for all their containers together (Kubernetes: pod-level resources)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import container, denied, initializer, mutated, plain_pod
from webhook import annotations as keys

S3 = "s3://bucket/model"
USUAL = {"cpu": "100m", "memory": "100Mi"}
MODELCARS = {"storageInitializer": {"enableModelcar": True}}


@pytest.mark.parametrize(
    ("resources", "requests"),
    [
        (None, USUAL),
        ({}, USUAL),
        ({"requests": None, "limits": {}}, USUAL),
        ({"requests": {"memory": "64Mi"}}, {"cpu": "100m", "memory": "0"}),
        ({"requests": {"memory": "64Gi", "cpu": 8}}, {"cpu": "0", "memory": "0"}),
        # The API server makes requests of the limits before it calls a webhook; a manifest has only what was written.
        ({"limits": {"memory": "64Mi"}}, {"cpu": "100m", "memory": "64Mi"}),
        ({"limits": {"memory": "64Gi", "cpu": 1}}, USUAL),
        ({"limits": {"memory": "much"}}, USUAL),
    ],
)
def test_the_pods_own_request_covers_the_init_container(resources: Any, requests: dict[str, str]) -> None:
    assert initializer(mutated(plain_pod(S3, resources=resources)))["resources"]["requests"] == requests


@pytest.mark.parametrize("name", ["modelcar", "modelcar-init"])
def test_the_pods_own_request_covers_modelcars(name: str) -> None:
    pod = mutated(plain_pod("oci://registry.example.com/m:1", resources={"requests": {"memory": "64Mi"}}), MODELCARS)
    assert container(pod, name)["resources"]["requests"] == {"cpu": "10m", "memory": "0"}


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_a_request_that_was_asked_for_must_fit_the_pods_own(kind: str) -> None:
    resources = {kind: {"memory": "64Mi"}}
    message = denied(plain_pod(S3, annotations={keys.MEMORY_REQUEST: "100Mi"}, resources=resources))
    assert f'{keys.MEMORY_REQUEST} "100Mi" is more than the "64Mi"' in message
    assert "spec.resources" in message
    pod = mutated(plain_pod(S3, annotations={keys.MEMORY_REQUEST: "32Mi"}, resources=resources))
    assert initializer(pod)["resources"]["requests"]["memory"] == "32Mi"
