"""Fingerprint of an AdmissionReview: equal for pods of one ReplicaSet, different for all others. Pure.

Requests for the pods of one controller differ only in generated values: the request's UID, the time in managedFields,
and the name of the volume with the service account's token (Kubernetes: ServiceAccount admission). The fingerprint
leaves these out; none of them changes an outcome.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from webhook.admission.review import Review

# The head of a review as API servers write it, up to the UID. Any other spelling of the same JSON has no fingerprint.
_HEAD = re.compile(rb'\{"kind":"AdmissionReview","apiVersion":"[a-z0-9./]+","request":\{"uid":"([0-9a-f-]{36})"')
_TIME = re.compile(rb'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_VOLUME = re.compile(rb'"(kube-api-access-[a-z0-9]{5})"')
_TIME_PREFIX = b'"time":"'
_VOLUME_PREFIX = b"kube-api-access-"
_QUOTED_PREFIX = b'"' + _VOLUME_PREFIX
# Escapes that API servers never write (Go's encoding/json): they could hide one of the generated values.
_UNUSUAL_ESCAPE = re.compile(rb"\\u00(?!26|3c|3e|[01])")
# Stands for what is left out. No JSON text has this byte.
_PLACEHOLDER = b"\xff"


class Fingerprint(NamedTuple):
    """A digest of an AdmissionReview, and the values it leaves out; b"" for a value that is absent."""

    digest: bytes
    uid: bytes
    time: bytes
    volume: bytes


def fingerprint(body: bytes) -> Fingerprint | None:
    """The fingerprint of a request's body; None when it is not written like an API server's."""
    head = _HEAD.match(body)
    if head is None or _PLACEHOLDER in body:
        return None
    # Processors have instructions for SHA-256.
    digest = sha256(body[: head.start(1)])
    rest = body[head.end(1) :]
    time, rest = _leave_out(_TIME, _TIME_PREFIX, rest, rest.find(_TIME_PREFIX))
    # The last mount of a pod is that of the token.
    volume, rest = _leave_out(_VOLUME, _QUOTED_PREFIX, rest, rest.rfind(_QUOTED_PREFIX))
    digest.update(rest)
    return Fingerprint(digest.digest(), head[1], time, volume)


def _leave_out(pattern: re.Pattern[bytes], prefix: bytes, text: bytes, start: int) -> tuple[bytes, bytes]:
    """The match of the pattern, which begins with `prefix`, at `start`, and the text without all its occurrences."""
    found = pattern.match(text, start) if start >= 0 else None
    if found is None:
        return b"", text
    # Half the time of `replace`, which counts the occurrences first.
    return found[1], (prefix + _PLACEHOLDER).join(text.split(found[0]))


def is_cacheable(left_out: Fingerprint, body: bytes, review: Review, response: bytes) -> bool:
    """Whether every review with this fingerprint gets this response, except for the UID.

    True when the values that the fingerprint leaves out occur only where they belong: nowhere else in the review's
    body, and not in the response.
    """
    times = sum(_is(left_out.time, entry.get("time")) for entry in _managed_fields(review))
    names = sum(_is(left_out.volume, item.get("name")) for item in _volumes_and_mounts(review))
    return (
        _is(left_out.uid, review.request.uid)
        and body.count(left_out.uid) == 1
        and (not left_out.time or body.count(left_out.time) == times)
        and body.count(_VOLUME_PREFIX) == names
        and _VOLUME_PREFIX not in response + _patch(response)
        and not _UNUSUAL_ESCAPE.search(body)
    )


def _is(text: bytes, value: Any) -> bool:
    return bool(text) and bool(text.decode() == value)


def _patch(response: bytes) -> bytes:
    return b64decode(msgspec.json.decode(response)["response"].get("patch", b""))


def _managed_fields(review: Review) -> Iterator[dict[str, Any]]:
    return _objects(_field(review.request.object, "metadata"), "managedFields")


def _volumes_and_mounts(review: Review) -> Iterator[dict[str, Any]]:
    spec = _field(review.request.object, "spec")
    yield from _objects(spec, "volumes")
    for field in ("initContainers", "containers"):
        for container in _objects(spec, field):
            yield from _objects(container, "volumeMounts")


def _objects(parent: Any, field: str) -> Iterator[dict[str, Any]]:
    """The objects in a list. Pods that request nothing were not checked, so any JSON may be here."""
    items = _field(parent, field)
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def _field(parent: Any, field: str) -> Any:
    return parent.get(field) if isinstance(parent, dict) else None
