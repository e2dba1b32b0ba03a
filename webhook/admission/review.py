"""AdmissionReview requests and responses (admission.k8s.io/v1 and v1beta1), and the JSON patch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, get_args

import msgspec

from webhook.admission.body_size import check_number
from webhook.admission.outcome import Outcome
from webhook.errors import BadReview, quoted
from webhook.pod.diff import Operation, diff

# The API server truncates warnings to 256 characters each and 4096 per response (apiserver: warning.AddWarning).
_MAX_WARNING = 256
_MAX_WARNINGS = 16
# A value in quotes, as `errors.quoted` writes it. A cut value has at least this length, with its quotes.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_MIN_QUOTED = 14
_MAX_CUT = 16
# Names are at most this long (DNS-1123 subdomain), and the API server's request UIDs are UUIDs.
_MAX_NAME = 253
_Version = Literal["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
_VERSIONS = get_args(_Version)


class Request(NamedTuple):
    """An AdmissionRequest. `object` is the raw JSON value of the object, of any type."""

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
        """The object's controller as `Kind/name`, or its own name; "" when it has neither. Each part is bounded."""
        metadata = self.object.get("metadata") if isinstance(self.object, dict) else None
        if not isinstance(metadata, dict):
            return ""
        owners = metadata.get("ownerReferences")
        owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else None
        if owner:
            return f"{_name(owner.get('kind'))}/{_name(owner.get('name'))}"
        return _name(metadata.get("name"))


def _name(value: Any) -> str:
    return value[:_MAX_NAME] if isinstance(value, str) else ""


class Review(NamedTuple):
    """An AdmissionReview with a request."""

    api_version: str
    request: Request


class _ManagedFields(TypedDict, total=False):
    time: Any


class _Metadata(TypedDict, total=False):
    name: Any
    namespace: Any
    generateName: Any
    labels: Any
    annotations: Any
    ownerReferences: Any
    managedFields: list[_ManagedFields]


class _Pod(TypedDict, total=False):
    kind: Any
    metadata: _Metadata
    spec: Any


_Name = Annotated[str, msgspec.Meta(max_length=_MAX_NAME)]


class _GroupKind(msgspec.Struct, frozen=True):
    group: _Name = ""
    kind: _Name = ""


class _PodRequest(msgspec.Struct, rename="camel"):
    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_NAME)]
    kind: _GroupKind = _GroupKind()
    operation: _Name = ""
    namespace: _Name = ""
    sub_resource: _Name = ""
    dry_run: bool = False
    object: _Pod | None = None


class _PodReview(msgspec.Struct, rename="camel"):
    """The parts of a pod's review that are read. Others, such as the API server's records of fields, are skipped."""

    api_version: _Version
    kind: Literal["AdmissionReview"]
    request: _PodRequest


_decode = msgspec.json.Decoder().decode
_decode_pod_review = msgspec.json.Decoder(_PodReview).decode
_encode = msgspec.json.Encoder().encode


def parse(body: bytes) -> Review:
    """Parse the body of an HTTP request. Raises BadReview with the reason in one line."""
    check_number(body)
    return from_object(_decoded(body, _decode))


def parse_pod(body: bytes) -> Review:
    """Like `parse`, but leaves out the fields of a pod that no step reads."""
    check_number(body)
    try:
        review = _decoded(body, _decode_pod_review)
    except msgspec.ValidationError:
        # A field is not of its type. `from_object`, or what reads the field, says what is wrong.
        return from_object(_decoded(body, _decode))
    request, kind = review.request, review.request.kind
    return Review(
        review.api_version,
        Request(
            request.uid,
            kind.group,
            kind.kind,
            request.operation,
            request.namespace,
            request.sub_resource,
            request.dry_run,
            request.object,
        ),
    )


def _decoded(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    """The JSON value. Raises BadReview for bytes that are none, ValidationError for a field of another type."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except RecursionError:
        raise BadReview("the body is nested too deeply") from None
    except ValueError as error:
        raise BadReview(f"the body is not JSON: {error}") from None


def from_object(review: Any) -> Review:
    """Like `parse`, for a JSON value."""
    if not isinstance(review, dict):
        raise _invalid("the body", "an object", review)
    version = review.get("apiVersion")
    if not isinstance(version, str) or version not in _VERSIONS:
        raise _invalid("apiVersion", " or ".join(_VERSIONS), version)
    if review.get("kind") != "AdmissionReview":
        raise _invalid("kind", "AdmissionReview", review.get("kind"))
    request = _object(review, "request", "")
    kind = _object(request, "kind", "request.") if request.get("kind") is not None else {}
    dry_run = request.get("dryRun")
    if dry_run is not None and not isinstance(dry_run, bool):
        raise _invalid("request.dryRun", "true or false", dry_run)
    uid = _text(request, "uid")
    if not uid:
        raise _invalid("request.uid", "the request's UID", request.get("uid"))
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


def _object(parent: dict[str, Any], field: str, prefix: str) -> dict[str, Any]:
    value = parent.get(field)
    if not isinstance(value, dict):
        raise _invalid(prefix + field, "an object", value)
    return value


def _text(parent: dict[str, Any], field: str, prefix: str = "request.") -> str:
    value = parent.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise _invalid(prefix + field, f"a string of at most {_MAX_NAME} characters", value)
    return value


def _invalid(field: str, expected: str, value: Any) -> BadReview:
    found = "missing" if value is None else quoted(value)
    return BadReview(f"the body is not an AdmissionReview: {field} must be {expected}, but is {found}")


def patch(pod: Any, outcome: Outcome) -> list[Operation]:
    """The JSON patch between the received pod and the outcome."""
    return diff(pod, outcome.mutated) if outcome.mutated is not None else []


def respond(review: Review, outcome: Outcome) -> bytes:
    """The AdmissionReview response, with a patch if something changes.

    Raises RecursionError for a patch that is nested too deeply.
    """
    request = review.request
    response: dict[str, Any] = {
        "uid": request.uid,
        "allowed": outcome.allowed,
        "auditAnnotations": outcome.audit,
    }
    if operations := patch(request.object, outcome):
        response["patchType"] = "JSONPatch"
        response["patch"] = _encode(operations)  # bytes are encoded as base64
    if outcome.warnings:
        response["warnings"] = [_fitted(warning) for warning in outcome.warnings[:_MAX_WARNINGS]]
    if not outcome.allowed:
        response["status"] = {
            "status": "Failure",
            "message": outcome.message,
            "reason": outcome.status_reason,
            "code": outcome.code,
        }
    return _encode({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response})


def _fitted(warning: str) -> str:
    """The warning in at most 256 characters: quoted values are cut before words, the longest ones first.

    What a warning is about and the way out are in the words.
    """
    if len(warning) <= _MAX_WARNING:
        return warning
    for value in sorted(_QUOTED.findall(warning), key=len, reverse=True)[:_MAX_CUT]:
        kept = max(_MIN_QUOTED, len(value) - (len(warning) - _MAX_WARNING))
        if kept < len(value):
            warning = warning.replace(value, value[: kept - 2] + '…"', 1)
    return warning if len(warning) <= _MAX_WARNING else warning[: _MAX_WARNING - 1] + "…"
