"""AdmissionReview in and out (admission.k8s.io/v1 and v1beta1), and the only diff."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from webhook.admission import Outcome
from webhook.diff import Operation, diff
from webhook.errors import BadReview, shown

API_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")

# The API server cuts a warning to 256 characters, and all of one response to 4096 (apiserver: warning.AddWarning).
_MAX_WARNING = 256
_MAX_WARNINGS = 16


@dataclass(frozen=True, slots=True)
class Review:
    """One request of the API server. `object` is the raw JSON of what is admitted, of any type."""

    api_version: str
    uid: str
    kind: str
    operation: str
    namespace: str
    subresource: str
    dry_run: bool
    object: Any

    @property
    def owner(self) -> str:
        """The pod's controller as `Kind/name`, or its own name; "" when it has neither."""
        metadata = self.object.get("metadata") if isinstance(self.object, dict) else None
        if not isinstance(metadata, dict):
            return ""
        owners = metadata.get("ownerReferences")
        owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else None
        return f"{owner.get('kind')}/{owner.get('name')}" if owner else str(metadata.get("name") or "")


def parse(body: bytes) -> Review:
    """The AdmissionReview in a request's body. Raises BadReview, with the reason in one line."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReview(f"the body is not JSON: {error}") from None
    return from_object(review)


def from_object(review: Any) -> Review:
    """Like `parse`, from the JSON value."""
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise BadReview("the body is not an AdmissionReview: kind is not AdmissionReview")
    version = review.get("apiVersion")
    if version not in API_VERSIONS:
        raise BadReview(f"apiVersion {shown(version)} is not known: send {' or '.join(API_VERSIONS)}")
    request = review.get("request")
    if not isinstance(request, dict):
        raise BadReview("the AdmissionReview has no request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        raise BadReview("the request of the AdmissionReview has no uid")
    kind = request.get("kind")
    return Review(
        api_version=version,
        uid=uid,
        kind=_text(kind, "kind") if isinstance(kind, dict) else "",
        operation=_text(request, "operation"),
        namespace=_text(request, "namespace"),
        subresource=_text(request, "subResource"),
        dry_run=request.get("dryRun") is True,
        object=request.get("object"),
    )


def _text(parent: dict[str, Any], key: str) -> str:
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadReview(f"{key} of the AdmissionReview's request must be a string")
    return value


def patch(pod: Any, outcome: Outcome) -> list[Operation]:
    """What the outcome changes in the pod as it was received."""
    return diff(pod, outcome.pod) if outcome.pod is not None else []


def answer(review: Review, outcome: Outcome) -> bytes:
    """The AdmissionReview to send back: always with the uid, a patch only when something changes."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": outcome.allowed}
    if operations := patch(review.object, outcome):
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(operations)).decode()
    if outcome.warnings:
        response["warnings"] = [_cut(warning) for warning in outcome.warnings[:_MAX_WARNINGS]]
    if outcome.allowed:
        response["auditAnnotations"] = outcome.audit
    else:
        response["status"] = {
            "status": "Failure",
            "message": outcome.message,
            "reason": outcome.status_reason,
            "code": outcome.code,
        }
        response["auditAnnotations"] = outcome.audit
    return orjson.dumps({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response})


def _cut(warning: str) -> str:
    return warning if len(warning) <= _MAX_WARNING else warning[: _MAX_WARNING - 1] + "…"
