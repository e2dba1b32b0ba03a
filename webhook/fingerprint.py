"""What tells the pods of one ReplicaSet from all other pods, and not from each other. Pure.

In a burst of pods the webhook is asked the same again and again but for what is made up for each pod: the request's
UID, the time in managedFields, and the name of the volume with the service account's token (Kubernetes: ServiceAccount
admission). None of these changes what becomes of a pod.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from webhook.review import Review

# Up to the UID, as API servers write it. Another spelling of the same JSON has no fingerprint.
_HEAD = re.compile(rb'\{"kind":"AdmissionReview","apiVersion":"[a-z0-9./]+","request":\{"uid":"([0-9a-f-]{36})"')
_TIME = re.compile(rb'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_VOLUME = re.compile(rb'"(kube-api-access-[a-z0-9]{5})"')
_VOLUMES = b"kube-api-access-"
# Letters that are escaped, as API servers do not (Go's encoding/json): what is looked for could hide in them.
_ESCAPED = re.compile(rb"\\u00(?!26|3c|3e|[01])")
# Stands for what is left out. No JSON text has this byte.
_LEFT_OUT = b"\xff"


class Fingerprint(NamedTuple):
    """A digest of an AdmissionReview, and what it leaves out; b"" for what is not there."""

    digest: bytes
    uid: bytes
    time: bytes
    volume: bytes


def fingerprint(body: bytes) -> Fingerprint | None:
    """The fingerprint of a request's body; None when it is not written like an API server's."""
    head = _HEAD.match(body)
    if head is None or _LEFT_OUT in body:
        return None
    digest = blake2b(body[: head.start(1)])
    time, rest = _leave_out(_TIME, b'"time":"', body[head.end(1) :])
    volume, rest = _leave_out(_VOLUME, b'"' + _VOLUMES, rest)
    digest.update(rest)
    return Fingerprint(digest.digest(), head[1], time, volume)


def _leave_out(pattern: re.Pattern[bytes], beginning: bytes, text: bytes) -> tuple[bytes, bytes]:
    """What the pattern finds at the first `beginning`, and the text without it, wherever it stands."""
    # Looked for like this, since regular expressions take ten times as long to find nothing.
    start = text.find(beginning)
    found = pattern.match(text, start) if start >= 0 else None
    if found is None:
        return b"", text
    return found[1], text.replace(found[0], beginning + _LEFT_OUT)


def speaks_for_all(left_out: Fingerprint, body: bytes, review: Review, answer: bytes) -> bool:
    """Whether every review with this fingerprint gets this answer, but for the UID.

    It does when what the fingerprint leaves out stands in its place alone, and nothing else could be taken for it:
    neither in the review's body, nor in the answer.
    """
    times = sum(_is(left_out.time, entry.get("time")) for entry in _managed_fields(review))
    names = sum(_is(left_out.volume, item.get("name")) for item in _volumes_and_mounts(review))
    return (
        _is(left_out.uid, review.request.uid)
        and body.count(left_out.uid) == 1
        and (not left_out.time or body.count(left_out.time) == times)
        and body.count(_VOLUMES) == names
        and _VOLUMES not in answer + _patch(answer)
        and not _ESCAPED.search(body)
    )


def _is(text: bytes, value: Any) -> bool:
    return bool(text) and bool(text.decode() == value)


def _patch(answer: bytes) -> bytes:
    return b64decode(orjson.loads(answer)["response"].get("patch", b""))


def _managed_fields(review: Review) -> Iterator[dict[str, Any]]:
    return _objects(_field(review.request.object, "metadata"), "managedFields")


def _volumes_and_mounts(review: Review) -> Iterator[dict[str, Any]]:
    spec = _field(review.request.object, "spec")
    yield from _objects(spec, "volumes")
    for field in ("initContainers", "containers"):
        for container in _objects(spec, field):
            yield from _objects(container, "volumeMounts")


def _objects(parent: Any, field: str) -> Iterator[dict[str, Any]]:
    """The objects in a list, of whatever JSON this is: pods that do not ask are not looked at any closer."""
    items = _field(parent, field)
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def _field(parent: Any, field: str) -> Any:
    return parent.get(field) if isinstance(parent, dict) else None
