"""AdmissionReview requests and responses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.mutation import KSERVE, SOURCE_URI, a_pod, decide, plain_pod, response
from webhook.admission import review
from webhook.errors import BadReview


def _review(pod: Any = None, **fields: Any) -> dict[str, Any]:
    request = {"uid": "705ab4f5", "operation": "CREATE", "namespace": "models", "object": pod, **fields}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def _response(pod: Any, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return response(pod, decide(pod, settings))


# --- Requests -----------------------------------------------------------------------------------------------------


def test_the_fields_of_a_request() -> None:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    body = _review({"a": 1}, kind=kind, subResource="status", dryRun=True, userInfo={"username": "a"}, later=1)
    request = review.parse(json.dumps(body).encode()).request
    assert (request.uid, request.operation, request.namespace) == ("705ab4f5", "CREATE", "models")
    assert (request.group, request.kind) == ("", "Pod")
    assert (request.sub_resource, request.dry_run) == ("status", True)
    assert request.object == {"a": 1}


def test_null_fields_are_treated_as_missing() -> None:
    nothing = dict.fromkeys(("kind", "operation", "namespace", "subResource", "dryRun", "oldObject"))
    assert review.from_object(_review(**nothing)).request == review.Request("705ab4f5")


@pytest.mark.parametrize("value", [None, [], "", 0, False, {}, [{}], "text"])
def test_the_object_may_be_any_json_value(value: Any) -> None:
    assert review.from_object(_review(value)).request.object == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b'{"apiVersion": "admission.k8s.io/v1"}{}', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"\\ud800"', "not JSON"),
        (b"null", "the body"),
        (b"[]", "the body"),
        (b"{}", "apiVersion must be admission.k8s.io/v1 or admission.k8s.io/v1beta1, but is missing"),
        (json.dumps({**_review(), "apiVersion": "admission.k8s.io/v2"}).encode(), "apiVersion"),
        (json.dumps({**_review(), "kind": "Pod"}).encode(), "kind"),
        (json.dumps({**_review(), "request": None}).encode(), "request"),
        (json.dumps({**_review(), "request": {}}).encode(), "request.uid"),
        (json.dumps(_review(uid="")).encode(), "request.uid"),
        (json.dumps(_review(uid=5)).encode(), "request.uid"),
        (json.dumps(_review(namespace=[])).encode(), "request.namespace"),
        (json.dumps(_review(kind="Pod")).encode(), 'request.kind must be an object, but is "Pod"'),
        (json.dumps(_review(kind={"group": 7})).encode(), "request.kind.group"),
        (json.dumps(_review(subResource={})).encode(), "request.subResource"),
        (json.dumps(_review(dryRun=1)).encode(), "request.dryRun must be true or false"),
    ],
)
def test_an_invalid_review_is_rejected_with_one_line(body: bytes, why: str) -> None:
    with pytest.raises(BadReview) as error:
        review.parse(body)
    message = str(error.value)
    assert why in message
    assert len(message) < 300
    assert "\n" not in message


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"name": "llama-0"}, "llama-0"),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "llama-7d9c"}]}, "ReplicaSet/llama-7d9c"),
        ({"generateName": "llama-"}, ""),
        ({"ownerReferences": []}, ""),
        ({"ownerReferences": [7]}, ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_the_owner_of_a_pod(metadata: Any, owner: str) -> None:
    assert review.from_object(_review({"metadata": metadata})).request.owner == owner


# --- Responses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_response_has_the_version_of_the_request(version: str) -> None:
    pod = plain_pod("pvc://foo")
    request = review.from_object({**_review(pod), "apiVersion": version})
    result = json.loads(review.respond(request, decide(pod)))
    assert (result["apiVersion"], result["kind"]) == (version, "AdmissionReview")
    assert result["response"]["uid"] == "705ab4f5"


def test_the_response_for_an_injected_pod_has_a_patch() -> None:
    result = _response(plain_pod("pvc://foo"))
    assert result["allowed"] is True
    assert result["patchType"] == "JSONPatch"
    assert {operation["op"] for operation in json.loads(base64.b64decode(result["patch"]))} == {"add"}
    assert result["auditAnnotations"] == {"outcome": "injected", "sources": "pvc", "containers": "server"}
    assert "status" not in result
    assert "warnings" not in result


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (a_pod(), "no-uri"),
        (a_pod(labels=KSERVE), "no-uri"),
        (a_pod(annotations={SOURCE_URI: "s3://b/m"}), "no-uri"),
        (
            a_pod(labels={"storage.kserve.io/inject": "disabled"}, annotations={"storage.kserve.io/uri": "s3://b/m"}),
            "disabled",
        ),
        (
            a_pod(labels=KSERVE, annotations={SOURCE_URI: "s3://b", "internal.serving.kserve.io/agent": ""}),
            "agent-injected",
        ),
        (plain_pod("s3://b", initContainers=[{"name": "storage-initializer"}]), "already-injected"),
    ],
)
def test_the_response_for_a_skipped_pod_has_a_reason_and_no_patch(pod: Any, reason: str) -> None:
    result = _response(pod)
    assert result["auditAnnotations"] == {"outcome": "skipped", "reason": reason}
    assert result["allowed"] is True
    assert "patch" not in result


def test_the_response_for_a_complete_pod_has_no_patch() -> None:
    mount = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "readOnly": True}
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}}
    pod = plain_pod("pvc://foo", volumes=[volume])
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    result = _response(pod)
    assert "patch" not in result
    assert result["auditAnnotations"]["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("pod", "settings", "code", "reason"),
    [
        (plain_pod(""), {}, 422, "Invalid"),
        (
            plain_pod("pvc://foo", annotations={"storage.kserve.io/readonly": "false"}),
            {"storageDefaults": {"allowReadWrite": False}},
            403,
            "Forbidden",
        ),
    ],
)
def test_the_response_for_a_denied_pod_has_status_and_message(
    pod: Any, settings: dict[str, Any], code: int, reason: str
) -> None:
    result = _response(pod, settings)
    assert result["allowed"] is False
    assert result["status"]["code"] == code
    assert result["status"]["reason"] == reason
    assert result["status"]["status"] == "Failure"
    assert "storage.kserve.io/" in result["status"]["message"]
    assert "patch" not in result


def test_warnings_respect_the_limits_of_the_api_server() -> None:
    wrong = {f"storage.kserve.io/{'x' * 300}-{number}": "" for number in range(100)}
    warnings = _response(plain_pod("pvc://foo", annotations=wrong))["warnings"]
    assert len(warnings) == 16
    assert all(len(warning) <= 256 for warning in warnings)
