"""The audit against a real API server: which pods it finds, and the reasons."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kubernetes import client as k8s

from tests.controlplane.plane import ControlPlane
from webhook import annotations as keys
from webhook.admission import pods
from webhook.cluster.facts import NO_FACTS
from webhook.errors import LookupFailed
from webhook.request.model_request import ModelRequest
from webhook.server.audit import Auditor
from webhook.settings.model import Settings

REQUESTS_MODEL = {str(keys.URI): "s3://models/iris"}


def pod(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "server", "image": "example.com/server:1"}]},
    }


def injected(name: str, annotations: dict[str, str]) -> Any:
    plain, settings = pod(name, annotations), Settings()
    request = pods.read(plain, "models", settings)
    assert isinstance(request, ModelRequest)
    return pods.apply(plain, request, settings, NO_FACTS).mutated


def configuration(name: str) -> Any:
    hook = {
        "name": "audit.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/mutate-pods"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
    }
    return {"metadata": {"name": name}, "webhooks": [hook]}


def audited(client: k8s.ApiClient, namespace: str, hook: str = "none") -> dict[str, str]:
    return {finding.pod: finding.reason for finding in Auditor(client, hook).audit(Settings(), namespace)}


def test_only_uninjected_pods_that_request_a_model_are_found(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace(f"audit-{uuid.uuid4().hex[:8]}")
    with control_plane.client() as client:
        core = k8s.CoreV1Api(client)
        for body in (
            pod("no-request", {}),
            pod("requested", REQUESTS_MODEL),
            pod("invalid", {str(keys.URI): "pvc://"}),
            injected("downloaded", REQUESTS_MODEL),
            injected("mounted", {str(keys.URI): "pvc://models/iris"}),
        ):
            core.create_namespaced_pod(namespace, body)
        found = audited(client, namespace)
    assert set(found) == {"requested", "invalid"}
    assert found["requested"] == "no webhook is registered"
    assert "does not name a claim" in found["invalid"]


def test_reason_depends_on_the_registered_webhook(control_plane: ControlPlane) -> None:
    hook = f"audit-{uuid.uuid4().hex[:8]}"
    before = control_plane.namespace(f"{hook}-before")
    with control_plane.client() as client:
        core, hooks = k8s.CoreV1Api(client), k8s.AdmissionregistrationV1Api(client)
        core.create_namespaced_pod(before, pod("old", REQUESTS_MODEL))
        # Creation timestamps have a resolution of one second.
        while core.read_namespaced_pod("old", before).metadata.creation_timestamp >= _created_at(hooks, hook):
            hooks.delete_mutating_webhook_configuration(hook)
        after = control_plane.namespace(f"{hook}-after")
        disabled = control_plane.namespace(f"{hook}-disabled", {str(keys.INJECT): "disabled"})
        for namespace in (after, disabled):
            core.create_namespaced_pod(namespace, pod("new", REQUESTS_MODEL))
        reasons = [audited(client, namespace, hook) for namespace in (before, after, disabled)]
        hooks.delete_mutating_webhook_configuration(hook)
    assert "older than the webhook" in reasons[0]["old"]
    assert "failurePolicy is Ignore" in reasons[1]["new"]
    assert "its namespace has the label" in reasons[2]["new"]


def _created_at(hooks: k8s.AdmissionregistrationV1Api, name: str) -> Any:
    created: Any = hooks.create_mutating_webhook_configuration(configuration(name))
    return created.metadata.creation_timestamp


def test_missing_permission_to_list_is_reported(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.user("nobody")
    with control_plane.client(kubeconfig) as client, pytest.raises(LookupFailed, match="right to list pods"):
        Auditor(client, "none").audit(Settings(), "default")
