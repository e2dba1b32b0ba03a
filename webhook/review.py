"""AdmissionReview in and out (admission.k8s.io/v1 and v1beta1), and the only diff."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import orjson

from webhook.admission import Outcome
from webhook.diff import Operation, diff
from webhook.errors import BadReview, shown

# The API server cuts a warning to 256 characters, and all of one response to 4096 (apiserver: warning.AddWarning).
_MAX_WARNING = 256
_MAX_WARNINGS = 16
# Names, and the UUIDs that the API server gives to requests, are never longer (DNS-1123 subdomain).
_MAX_NAME = 253
_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


class TooDeep(Exception):
    """A patch cannot be written."""


class Request(NamedTuple):
    """One request of the API server. `object` is the raw JSON of what is admitted, of any type."""

    uid: str
    group: str = ""
    kind: str = ""
    operation: str = ""
    namespace: str = ""
    sub_resource: str = ""
    dry_run: bool = False
    object: Any = None
    old_object: Any = None

    @property
    def owner(self) -> str:
        """The object's controller as `Kind/name`, or its own name; "" when it has neither."""
        metadata = self.object.get("metadata") if isinstance(self.object, dict) else None
        if not isinstance(metadata, dict):
            return ""
        owners = metadata.get("ownerReferences")
        owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else None
        return f"{owner.get('kind')}/{owner.get('name')}" if owner else str(metadata.get("name") or "")


class Review(NamedTuple):
    """An AdmissionReview that asks."""

    api_version: str
    request: Request


def parse(body: bytes) -> Review:
    """The AdmissionReview in a request's body. Raises BadReview, with the reason in one line."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReview(f"the body is not JSON: {error}") from None
    return from_object(review)


def from_object(review: Any) -> Review:
    """Like `parse`, from the JSON value. Read by hand: pydantic's models cost a request as much as its decision."""
    if not isinstance(review, dict):
        raise _no_review("the body", "an object", review)
    version = review.get("apiVersion")
    if version not in _VERSIONS:
        raise _no_review("apiVersion", " or ".join(_VERSIONS), version)
    if review.get("kind") != "AdmissionReview":
        raise _no_review("kind", "AdmissionReview", review.get("kind"))
    request = _object(review, "request", "")
    kind = _object(request, "kind", "request.") if request.get("kind") is not None else {}
    dry_run = request.get("dryRun")
    if dry_run is not None and not isinstance(dry_run, bool):
        raise _no_review("request.dryRun", "true or false", dry_run)
    uid = _text(request, "uid")
    if not uid:
        raise _no_review("request.uid", "the request's UID", request.get("uid"))
    return Review(
        version,
        Request(
            uid,
            _text(kind, "group", "request.kind."),
            _text(kind, "kind", "request.kind."),
            _text(request, "operation"),
            _text(request, "namespace"),
            _text(request, "subResource"),
            dry_run or False,
            request.get("object"),
            request.get("oldObject"),
        ),
    )


def _object(parent: dict[str, Any], field: str, place: str) -> dict[str, Any]:
    value = parent.get(field)
    if not isinstance(value, dict):
        raise _no_review(place + field, "an object", value)
    return value


def _text(parent: dict[str, Any], field: str, place: str = "request.") -> str:
    value = parent.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise _no_review(place + field, f"text of at most {_MAX_NAME} characters", value)
    return value


def _no_review(place: str, wanted: str, value: Any) -> BadReview:
    given = "missing" if value is None else shown(value)
    return BadReview(f"the body is not an AdmissionReview: {place} must be {wanted}, and is {given}")


def patch(pod: Any, outcome: Outcome) -> list[Operation]:
    """What the outcome changes in the pod as it was received."""
    return diff(pod, outcome.pod) if outcome.pod is not None else []


def answer(review: Review, outcome: Outcome) -> bytes:
    """The AdmissionReview to send back: always with the uid, a patch only when something changes.

    Raises TooDeep for a patch that is nested deeper than JSON can be written (254 levels).
    """
    request = review.request
    response: dict[str, Any] = {
        "uid": request.uid,
        "allowed": outcome.allowed,
        "auditAnnotations": outcome.audit,
    }
    if operations := patch(request.object, outcome):
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_dumps(operations)).decode()
    if outcome.warnings:
        response["warnings"] = [_cut(warning) for warning in outcome.warnings[:_MAX_WARNINGS]]
    if not outcome.allowed:
        response["status"] = {
            "status": "Failure",
            "message": outcome.message,
            "reason": outcome.status_reason,
            "code": outcome.code,
        }
    return orjson.dumps({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response})


def _dumps(operations: list[Operation]) -> bytes:
    try:
        return orjson.dumps(operations)
    except orjson.JSONEncodeError as error:
        raise TooDeep(str(error)) from None


def _cut(warning: str) -> str:
    return warning if len(warning) <= _MAX_WARNING else warning[: _MAX_WARNING - 1] + "…"
