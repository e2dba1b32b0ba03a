"""Response cache: pods of one controller that differ only in generated values share a response."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import structs

from webhook.admission.outcome import Outcome
from webhook.server.context import Webhook
from webhook.server.fingerprint import Fingerprint, fingerprint
from webhook.server.handlers import Dependencies

# A few ReplicaSets create pods at the same time, not thousands. Dependencies come from the body, whose characters may
# take four bytes each: at most 20 MB.
MAX_ENTRIES = 128
MAX_BODY_BYTES = 32 * 1024
MAX_RESPONSE_BYTES = 32 * 1024
MAX_NAMES = 1024

# Some controllers never create identical pods (StatefulSets). After TRIES misses the next PAUSE pods of that name are
# not looked up.
TRIES = 4
PAUSE = 32

_GENERATE_NAME = b'"generateName":"'
_MAX_NAME = 253


class AdmissionResponse(NamedTuple):
    """The response to an admission request, and what the log says of it."""

    uid: str
    body: bytes
    outcome: Outcome
    log_fields: dict[str, Any]
    """The fields of the log event that pods of one controller share."""


class CacheKey(NamedTuple):
    """What a response is cached under."""

    name: bytes
    fingerprint: Fingerprint


class _Entry(NamedTuple):
    dependencies: Dependencies
    before_uid: bytes
    after_uid: bytes
    outcome: Outcome
    log_fields: dict[str, Any]


class ResponseCache:
    """The most recent responses, by fingerprint of the request."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._tries: dict[bytes, int] = {}
        """By name: how many more lookups may miss; below zero: how many pods were not looked up since."""

    def key(self, body: bytes) -> CacheKey | None:
        """The cache key of a request's body.

        None for bodies that are too large or have no fingerprint, the first pod of a name, and pods whose name
        never had a hit.
        """
        name = _generate_name(body) if len(body) <= MAX_BODY_BYTES else b""
        if not name or not self._may_hit(name):
            return None
        found = fingerprint(body)
        return CacheKey(name, found) if found else None

    def _may_hit(self, name: bytes) -> bool:
        tries = self._tries.get(name)
        if tries is None:
            _evict_oldest(self._tries, MAX_NAMES)
        self._tries[name] = TRIES if tries is None or tries == -PAUSE else tries - 1
        return tries is not None and tries > 0

    def get(self, key: CacheKey, webhook: Webhook) -> AdmissionResponse | None:
        """The cached response, if its dependencies are current."""
        name, (digest, uid, *_) = key
        entry = self._entries.get(digest)
        if entry is None or not entry.dependencies.are_current(webhook):
            return None
        self._tries[name] = TRIES
        body = b"%b%b%b" % (entry.before_uid, uid, entry.after_uid)
        return AdmissionResponse(uid.decode(), body, entry.outcome, entry.log_fields)

    def put(self, key: CacheKey, response: AdmissionResponse, dependencies: Dependencies) -> None:
        """Cache a response that holds for all requests with this fingerprint. Evicts the oldest entry when full."""
        digest, uid, *_ = key.fingerprint
        self._entries.pop(digest, None)
        if len(response.body) > MAX_RESPONSE_BYTES:
            return
        _evict_oldest(self._entries, MAX_ENTRIES)
        before, _, after = response.body.partition(uid)
        # The body already holds these, and they are ten times as large.
        outcome = structs.replace(response.outcome, mutated=None, warnings=())
        self._entries[digest] = _Entry(dependencies, before, after, outcome, response.log_fields)


def _generate_name(body: bytes) -> bytes:
    """The pod's `generateName`, found without parsing; b"" when there is none."""
    start = body.find(_GENERATE_NAME)
    if start < 0:
        return b""
    start += len(_GENERATE_NAME)
    return body[start : start + _MAX_NAME].partition(b'"')[0]


def _evict_oldest(entries: dict[bytes, Any], limit: int) -> None:
    if len(entries) >= limit:
        del entries[next(iter(entries))]
