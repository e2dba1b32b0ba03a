"""One admission endpoint: HTTP in and out, limits, and errors as answers.

A plain ASGI endpoint: FastAPI's own routing costs more than the whole mutation.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import structlog

from webhook import review as reviews
from webhook.admission import Outcome, failed, lookup_failed
from webhook.answer_cache import Answer, AnswerCache, Mark
from webhook.context import Webhook
from webhook.decide import Decision
from webhook.errors import BadReview, LookupFailed
from webhook.fingerprint import speaks_for_all
from webhook.review import Request, Review, TooDeep

# The API server limits an object to 3 MiB (apiserver: MaxRequestBodyBytes); an UPDATE's review carries two of them
# and some. What is longer cannot come from an API server.
MAX_BODY_BYTES = 7 * 1024 * 1024
# Of all the bodies that are on their way in at once; pods have some 10 KB. The container's memory is the measure.
MAX_BODIES_BYTES = 8 * MAX_BODY_BYTES

CLIENT_VERIFIED = "client_verified"
"""Key of the ASGI state that says whether the client showed a certificate of the trusted CA."""

Scope = MutableMapping[str, Any]
Headers = Mapping[bytes, bytes]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Decide = Callable[[Webhook, Request], Awaitable[Decision]]
"""What becomes of one admission request."""
Tell = Callable[[Mapping[str, Any]], None]


class HttpError(Exception):
    """An HTTP request that is no admission request; answered with one line of text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class AdmissionEndpoint:
    """POST: an AdmissionReview in, the same with the answer out."""

    def __init__(self, webhook: Webhook, decide: Decide, tell: Tell | None = None) -> None:
        """`tell` is told what is logged of each admission."""
        self._webhook = webhook
        self._decide = decide
        self._tell = tell
        self._answers = AnswerCache()
        # Bound now, not anew for every line.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers every request: an admission answer, or one line of text and an HTTP error."""
        self._webhook.in_flight += 1
        try:
            headers = dict(scope["headers"])
            self._check(scope, headers)
            body = await self._read_body(headers, receive)
            if body is None:
                return
            answer = await self._review(body)
        except HttpError as error:
            await self._reject(send, error.status, error.message)
        except BadReview as error:
            await self._reject(send, 400, str(error))
        else:
            await self._send(send, 200, b"application/json", answer)
        finally:
            self._webhook.in_flight -= 1

    def _check(self, scope: Scope, headers: Headers) -> None:
        if scope["method"] != "POST":
            raise HttpError(405, "send a POST request with an AdmissionReview")
        if self._webhook.in_flight > self._webhook.max_in_flight:
            raise HttpError(503, "too many requests at once: try again")
        if self._webhook.client_certificates and not scope["state"].get(CLIENT_VERIFIED):
            raise HttpError(403, "a client certificate is required here")
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise HttpError(415, "send Content-Type: application/json")

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None when the client went away. Raises HttpError when it is too much, reading no further."""
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            raise _too_large()
        message = await receive()
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            return body if message["type"] == "http.request" else None
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                chunk = message.get("body", b"")
                size += len(chunk)
                self._webhook.receiving += len(chunk)
                self._check_size(size)
                chunks.append(chunk)
                if not message.get("more_body"):
                    return b"".join(chunks)
                message = await receive()
                if message["type"] != "http.request":
                    return None
        finally:
            self._webhook.receiving -= size

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if self._webhook.receiving > MAX_BODIES_BYTES:
            raise HttpError(503, "too much is being received at once: try again")

    async def _review(self, body: bytes) -> bytes:
        start = time.perf_counter()
        mark = self._answers.mark(body)
        known = self._answers.recall(mark, self._webhook) if mark else None
        answer = known or await self._work_out(body, mark)
        seconds = time.perf_counter() - start
        self._webhook.metrics.admitted(answer.outcome, seconds, remembered=known is not None)
        self._log_admission(answer, seconds, remembered=known is not None)
        return answer.body

    async def _work_out(self, body: bytes, mark: Mark | None) -> Answer:
        review = reviews.parse(body)
        try:
            outcome, basis = await self._decide(self._webhook, review.request)
            written = reviews.answer(review, outcome)
        except BadReview:
            raise
        except Exception as error:
            outcome, basis = self._broken(review, error), None
            written = reviews.answer(review, outcome)
        answer = Answer(review.request.uid, written, outcome, _described(review.request, outcome))
        if not outcome.allowed:
            if self._webhook.events is not None:
                self._webhook.events.refused(review.request, outcome)
        elif mark and basis and speaks_for_all(mark.fingerprint, body, review, written):
            self._answers.keep(mark, answer, basis)
        return answer

    def _broken(self, review: Review, error: Exception) -> Outcome:
        """Whatever a caller sends, the answer is an answer; what went wrong is for us to read."""
        if isinstance(error, RecursionError | TooDeep):
            return _TOO_DEEP
        self._log.error("admission failed", uid=review.request.uid, exc_info=error)
        message = "the storage webhook failed on this object; its log says why"
        snapshot = self._webhook.settings.current
        if snapshot is not None and snapshot.settings.observing:
            return lookup_failed(LookupFailed(message), snapshot.settings)
        return failed(message, code=500)

    def _log_admission(self, answer: Answer, seconds: float, *, remembered: bool) -> None:
        event = {"uid": answer.uid, **answer.described, "milliseconds": round(seconds * 1000, 3)}
        if remembered:
            event["remembered"] = True
        self._log.info("admission", **event)
        if self._tell is not None:
            self._tell(event)

    async def _reject(self, send: Send, status: int, message: str) -> None:
        self._webhook.metrics.rejected(status)
        self._log.warning("request rejected", status=status, message=message)
        headers = [(b"allow", b"POST")] if status == 405 else []
        # The rest of an unread body cannot be told from a next request: the connection ends here.
        headers.append((b"connection", b"close"))
        await self._send(send, status, b"text/plain; charset=utf-8", message.encode() + b"\n", headers)

    async def _send(
        self, send: Send, status: int, content_type: bytes, body: bytes, more: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *(more or ())]
        if self._webhook.draining and not more:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


# No object that Kubernetes takes comes near: what is deep is in fields that it does not know.
_TOO_DEEP = Outcome(
    "denied",
    message="the object is nested too deeply: remove what Kubernetes does not know",
    code=422,
    audit={"outcome": "denied"},
)


def _described(request: Request, outcome: Outcome) -> dict[str, Any]:
    """What the log says of an admission; requests that are alike have it in common."""
    described: dict[str, Any] = {"namespace": request.namespace, "owner": request.owner, "outcome": outcome.kind}
    if outcome.reason:
        described["reason"] = outcome.reason
    if outcome.sources:
        described["sources"] = outcome.sources
    if outcome.differences:
        described["differs"] = outcome.differences
    if outcome.message:
        described["message"] = outcome.message
    if request.dry_run:
        described["dry_run"] = True
    return described


def _too_large() -> HttpError:
    return HttpError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
