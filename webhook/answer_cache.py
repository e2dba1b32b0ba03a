"""Answers kept for pods that are alike, so that of a burst only the first pods are worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from webhook.admission import Outcome
from webhook.context import Webhook
from webhook.decide import Basis
from webhook.fingerprint import Fingerprint, fingerprint, generate_name

# Some ReplicaSets make pods at the same time, not thousands. An answer has some 3 KB, and what it rests on as much.
MAX_ENTRIES = 256
MAX_NAMES = 1024
MAX_ANSWER_BYTES = 32 * 1024


class Answer(NamedTuple):
    """What is sent to a request, and what is told of it."""

    uid: str
    body: bytes
    outcome: Outcome
    described: dict[str, Any]
    """What the log says of the admission, but for what is each request's own."""


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
        self._names: dict[bytes, None] = {}

    def mark(self, body: bytes) -> Fingerprint | None:
        """The fingerprint of a review; None for the first pod of a name.

        Pods that are like no other are spared what it costs.
        """
        name = generate_name(body)
        if name in self._names:
            return fingerprint(body)
        if name:
            _make_room(self._names, MAX_NAMES)
            self._names[name] = None
        return None

    def recall(self, mark: Fingerprint, webhook: Webhook) -> Answer | None:
        """The answer to a review with this fingerprint, when what it rests on still holds."""
        entry = self._entries.get(mark.digest)
        if entry is None or not entry.basis.holds(webhook):
            return None
        body = b"%b%b%b" % (entry.before, mark.uid, entry.after)
        return Answer(mark.uid.decode(), body, entry.outcome, entry.described)

    def keep(self, mark: Fingerprint, answer: Answer, basis: Basis) -> None:
        """Keep an answer that speaks for all reviews with this fingerprint. The oldest makes room."""
        if len(answer.body) > MAX_ANSWER_BYTES:
            return
        before, _, after = answer.body.partition(mark.uid)
        self._entries.pop(mark.digest, None)
        _make_room(self._entries, MAX_ENTRIES)
        # Without the pod, which is in the patch and is ten times as large.
        self._entries[mark.digest] = _Entry(basis, before, after, replace(answer.outcome, pod=None), answer.described)


def _make_room(entries: dict[bytes, Any], limit: int) -> None:
    if len(entries) >= limit:
        del entries[next(iter(entries))]
