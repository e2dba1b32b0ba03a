"""Answers kept for pods that are alike, so that of a burst only the first pods are worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from webhook.admission import Outcome
from webhook.context import Webhook
from webhook.decide import Basis
from webhook.fingerprint import Fingerprint, fingerprint

# Some ReplicaSets make pods at the same time, not thousands. What an answer rests on comes from the body, whose
# characters may take four bytes each: 20 MB, if somebody means ill.
MAX_ENTRIES = 128
MAX_BODY_BYTES = 32 * 1024
MAX_ANSWER_BYTES = 32 * 1024
MAX_NAMES = 1024

# Pods of one name may differ all the same: those of StatefulSets do. After so many in a row, so many are spared.
TRIES = 4
PAUSE = 32

_GENERATE_NAME = b'"generateName":"'
_MAX_NAME = 253


class Answer(NamedTuple):
    """What is sent to a request, and what is told of it."""

    uid: str
    body: bytes
    outcome: Outcome
    described: dict[str, Any]
    """What the log says of the admission, but for what is each request's own."""


class Mark(NamedTuple):
    """What an answer is kept under."""

    name: bytes
    fingerprint: Fingerprint


class _Entry(NamedTuple):
    basis: Basis
    before: bytes
    after: bytes
    outcome: Outcome
    described: dict[str, Any]


class AnswerCache:
    """The answers to the last kinds of pods, by fingerprint."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._tries: dict[bytes, int] = {}
        """By name: how many more pods may turn out to be like no other; below zero, how many were spared."""

    def mark(self, body: bytes) -> Mark | None:
        """What the answer to a review is kept under; None for pods that seem to be like no other.

        Those are spared what it costs: the first of a name, and pods whose name never helped.
        """
        name = _name(body) if len(body) <= MAX_BODY_BYTES else b""
        if not name or not self._is_worth_a_try(name):
            return None
        found = fingerprint(body)
        return Mark(name, found) if found else None

    def _is_worth_a_try(self, name: bytes) -> bool:
        tries = self._tries.get(name)
        if tries is None:
            _make_room(self._tries, MAX_NAMES)
        self._tries[name] = TRIES if tries is None or tries == -PAUSE else tries - 1
        return tries is not None and tries > 0

    def recall(self, mark: Mark, webhook: Webhook) -> Answer | None:
        """The answer to a review of this mark, when what it rests on still holds."""
        name, (digest, uid, *_) = mark
        entry = self._entries.get(digest)
        if entry is None or not entry.basis.holds(webhook):
            return None
        self._tries[name] = TRIES
        return Answer(uid.decode(), b"%b%b%b" % (entry.before, uid, entry.after), entry.outcome, entry.described)

    def keep(self, mark: Mark, answer: Answer, basis: Basis) -> None:
        """Keep an answer that speaks for all reviews of this fingerprint. The oldest makes room."""
        digest, uid, *_ = mark.fingerprint
        self._entries.pop(digest, None)
        if len(answer.body) > MAX_ANSWER_BYTES:
            return
        _make_room(self._entries, MAX_ENTRIES)
        before, _, after = answer.body.partition(uid)
        # Without what is in the answer already, and is ten times as large.
        outcome = replace(answer.outcome, pod=None, warnings=())
        self._entries[digest] = _Entry(basis, before, after, outcome, answer.described)


def _name(body: bytes) -> bytes:
    """What the pod's controller names all its pods, found without parsing; b"" when there is no such name."""
    start = body.find(_GENERATE_NAME)
    if start < 0:
        return b""
    start += len(_GENERATE_NAME)
    return body[start : start + _MAX_NAME].partition(b'"')[0]


def _make_room(entries: dict[bytes, Any], limit: int) -> None:
    if len(entries) >= limit:
        del entries[next(iter(entries))]
