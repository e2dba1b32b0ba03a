"""AdmissionReviews in and out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.mutation import KSERVE, SOURCE_URI, a_pod, decide, plain_pod, response
from webhook import review
from webhook.errors import BadReview


def _asked(pod: Any = None, **fields: Any) -> dict[str, Any]:
    request = {"uid": "705ab4f5", "operation": "CREATE", "namespace": "models", "object": pod, **fields}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def _answer(pod: Any, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return response(pod, decide(pod, settings))


# --- In -----------------------------------------------------------------------------------------------------------


def test_what_is_read_of_a_request() -> None:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    body = _asked({"a": 1}, kind=kind, subResource="status", dryRun=True, userInfo={"username": "a"}, later=1)
    request = review.parse(json.dumps(body).encode()).request
    assert (request.uid, request.operation, request.namespace) == ("705ab4f5", "CREATE", "models")
    assert (request.group, request.kind) == ("", "Pod")
    assert (request.sub_resource, request.dry_run) == ("status", True)
    assert request.object == {"a": 1}


def test_what_is_null_is_not_there() -> None:
    nothing = dict.fromkeys(("kind", "operation", "namespace", "subResource", "dryRun", "oldObject"))
    assert review.from_object(_asked(**nothing)).request == review.Request("705ab4f5")


@pytest.mark.parametrize("value", [None, [], "", 0, False, {}, [{}], "text"])
def test_any_json_may_stand_in_for_the_object(value: Any) -> None:
    assert review.from_object(_asked(value)).request.object == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b'{"apiVersion": "admission.k8s.io/v1"}{}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b"null", "the body"),
        (b"[]", "the body"),
        (b"{}", "apiVersion must be admission.k8s.io/v1 or admission.k8s.io/v1beta1, and is missing"),
        (json.dumps({**_asked(), "apiVersion": "admission.k8s.io/v2"}).encode(), "apiVersion"),
        (json.dumps({**_asked(), "kind": "Pod"}).encode(), "kind"),
        (json.dumps({**_asked(), "request": None}).encode(), "request"),
        (json.dumps({**_asked(), "request": {}}).encode(), "request.uid"),
        (json.dumps(_asked(uid="")).encode(), "request.uid"),
        (json.dumps(_asked(uid=5)).encode(), "request.uid"),
        (json.dumps(_asked(namespace=[])).encode(), "request.namespace"),
        (json.dumps(_asked(kind="Pod")).encode(), 'request.kind must be an object, and is "Pod"'),
        (json.dumps(_asked(kind={"group": 7})).encode(), "request.kind.group"),
        (json.dumps(_asked(subResource={})).encode(), "request.subResource"),
        (json.dumps(_asked(dryRun=1)).encode(), "request.dryRun must be true or false"),
    ],
)
def test_what_is_no_review_is_told_why_in_one_line(body: bytes, why: str) -> None:
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
def test_a_pod_is_known_by_its_owner(metadata: Any, owner: str) -> None:
    assert review.from_object(_asked({"metadata": metadata})).request.owner == owner


# --- Out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_answer_is_of_the_version_that_asked(version: str) -> None:
    pod = plain_pod("pvc://foo")
    asked = review.from_object({**_asked(pod), "apiVersion": version})
    answer = json.loads(review.answer(asked, decide(pod)))
    assert (answer["apiVersion"], answer["kind"]) == (version, "AdmissionReview")
    assert answer["response"]["uid"] == "705ab4f5"


def test_an_injected_pod_is_answered_with_a_patch() -> None:
    answer = _answer(plain_pod("pvc://foo"))
    assert answer["allowed"] is True
    assert answer["patchType"] == "JSONPatch"
    assert {operation["op"] for operation in json.loads(base64.b64decode(answer["patch"]))} == {"add"}
    assert answer["auditAnnotations"] == {"outcome": "injected", "sources": "pvc"}
    assert "status" not in answer
    assert "warnings" not in answer


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
def test_a_skipped_pod_is_answered_with_the_reason_and_no_patch(pod: Any, reason: str) -> None:
    answer = _answer(pod)
    assert answer["auditAnnotations"] == {"outcome": "skipped", "reason": reason}
    assert answer["allowed"] is True
    assert "patch" not in answer


def test_a_pod_that_has_everything_is_answered_without_a_patch() -> None:
    mount = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "readOnly": True}
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "foo"}}
    pod = plain_pod("pvc://foo", volumes=[volume])
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    answer = _answer(pod)
    assert "patch" not in answer
    assert answer["auditAnnotations"]["outcome"] == "unchanged"


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
def test_a_denied_pod_is_answered_with_what_its_author_must_do(
    pod: Any, settings: dict[str, Any], code: int, reason: str
) -> None:
    answer = _answer(pod, settings)
    assert answer["allowed"] is False
    assert answer["status"]["code"] == code
    assert answer["status"]["reason"] == reason
    assert answer["status"]["status"] == "Failure"
    assert "storage.kserve.io/" in answer["status"]["message"]
    assert "patch" not in answer


def test_warnings_are_as_long_and_as_many_as_the_api_server_takes() -> None:
    wrong = {f"storage.kserve.io/{'x' * 300}-{number}": "" for number in range(100)}
    warnings = _answer(plain_pod("pvc://foo", annotations=wrong))["warnings"]
    assert len(warnings) == 16
    assert all(len(warning) <= 256 for warning in warnings)
