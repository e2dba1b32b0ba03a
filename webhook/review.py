"""AdmissionReview in and out (admission.k8s.io/v1 and v1beta1), and the only diff."""

from __future__ import annotations

import base64
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from webhook.admission import Outcome
from webhook.diff import Operation, diff
from webhook.errors import BadReview

# The API server cuts a warning to 256 characters, and all of one response to 4096 (apiserver: warning.AddWarning).
_MAX_WARNING = 256
_MAX_WARNINGS = 16
# Names, and the UUIDs that the API server gives to requests, are never longer (DNS-1123 subdomain).
_MAX_NAME = 253


class TooDeep(Exception):
    """A patch cannot be written."""


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore", strict=True)


class ReviewKind(_Envelope):
    """Group, version and kind of what is admitted."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Request(_Envelope):
    """One request of the API server. `object` is the raw JSON of what is admitted, of any type."""

    uid: str = Field(min_length=1, max_length=_MAX_NAME)
    kind: ReviewKind = ReviewKind()
    operation: str = ""
    namespace: str = Field("", max_length=_MAX_NAME)
    sub_resource: str = ""
    dry_run: bool | None = False
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


class Review(_Envelope):
    """An AdmissionReview that asks."""

    api_version: Literal["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
    kind: Literal["AdmissionReview"]
    request: Request


def parse(body: bytes) -> Review:
    """The AdmissionReview in a request's body. Raises BadReview, with the reason in one line."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReview(f"the body is not JSON: {error}") from None
    return from_object(review)


def from_object(review: Any) -> Review:
    """Like `parse`, from the JSON value."""
    try:
        return Review.model_validate(review)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadReview(f"the body is not an AdmissionReview: {place}: {first['msg']}") from None


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
