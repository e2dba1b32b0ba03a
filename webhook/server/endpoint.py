"""The admission endpoint: HTTP in and out, limits, and errors as responses.

A plain ASGI endpoint, because FastAPI's routing costs more than the whole mutation.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from webhook.admission import review as reviews
from webhook.admission.outcome import Outcome, failed, lookup_failed, skipped
from webhook.admission.review import Request, Review
from webhook.errors import BadReview, LookupFailed, shortened
from webhook.server.context import Webhook
from webhook.server.fingerprint import is_cacheable
from webhook.server.handlers import Decision
from webhook.server.response_cache import AdmissionResponse, CacheKey, ResponseCache

# The API server limits an object to 3 MiB (apiserver: MaxRequestBodyBytes), and the review of an UPDATE carries two of
# them and some more. A longer body cannot come from an API server.
MAX_BODY_BYTES = 7 * 1024 * 1024
# Bounds the memory of all incomplete bodies together; a pod has some 10 KB.
MAX_INCOMPLETE_BYTES = 8 * MAX_BODY_BYTES

# Bounds of a line of the log. The names of 32 containers, which are DNS labels, are shown whole.
_MAX_LOGGED_NAMES = 32
_MAX_LOGGED_NAME = 63
_MAX_LOGGED_MESSAGE = 2048

CLIENT_VERIFIED = "client_verified"
"""Key of the ASGI state: whether the client sent a certificate of the trusted CA."""

Scope = MutableMapping[str, Any]
Headers = Mapping[bytes, bytes]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Webhook, Request], Awaitable[Decision]]
"""Decides one admission request."""
OnAdmission = Callable[[Mapping[str, Any]], None]
"""Receives the log fields of each admission."""


class HttpError(Exception):
    """An HTTP request that is not an admission request; answered with one line of text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class AdmissionEndpoint:
    """POST: an AdmissionReview with a request in, one with a response out."""

    def __init__(
        self,
        webhook: Webhook,
        handler: Handler,
        on_admission: OnAdmission | None = None,
        *,
        parse: Callable[[bytes], Review] = reviews.parse,
        only_warns: bool = False,
    ) -> None:
        """`only_warns`: an unexpected error admits the object, because `failurePolicy` does not apply to denials."""
        self._webhook = webhook
        self._handler = handler
        self.summary = handler.__doc__ or ""
        self._parse = parse
        self._only_warns = only_warns
        self._on_admission = on_admission
        self._cache = ResponseCache()
        # Bound once, not for every line.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer every request: with an AdmissionReview, or with an HTTP error and one line of text."""
        self._webhook.in_flight += 1
        try:
            headers = dict(scope["headers"])
            self._check(scope, headers)
            body = await self._read_body(headers, receive)
            if body is None:
                return
            response = await self._respond(body)
        except HttpError as error:
            await self._reject(send, error.status, error.message)
        except BadReview as error:
            await self._reject(send, 400, str(error))
        else:
            await self._send(send, 200, b"application/json", response)
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
        """The whole body; None when the client disconnected. Raises HttpError at a limit, without reading further."""
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
        if self._webhook.receiving > MAX_INCOMPLETE_BYTES:
            raise HttpError(503, "too many large requests at once: try again")

    async def _respond(self, body: bytes) -> bytes:
        start = time.perf_counter()
        key = self._cache.key(body)
        cached = self._cache.get(key, self._webhook) if key else None
        response = cached or await self._handle(body, key)
        self._record(response, time.perf_counter() - start, cached=cached is not None)
        return response.body

    async def _handle(self, body: bytes, key: CacheKey | None) -> AdmissionResponse:
        review = self._parse(body)
        try:
            outcome, dependencies = await self._handler(self._webhook, review.request)
            written = reviews.respond(review, outcome)
        except BadReview:
            raise
        except Exception as error:
            outcome, dependencies = self._unexpected(review, error), None
            written = reviews.respond(review, outcome)
        response = AdmissionResponse(review.request.uid, written, outcome, _log_fields(review.request, outcome))
        if not outcome.allowed:
            if self._webhook.events is not None:
                self._webhook.events.record(review.request, outcome)
        elif key and dependencies and is_cacheable(key.fingerprint, body, review, written):
            self._cache.put(key, response, dependencies)
        return response

    def _unexpected(self, review: Review, error: Exception) -> Outcome:
        """An unexpected error is logged and answered as a denial; the caller never sees a traceback."""
        if isinstance(error, RecursionError):
            return skipped("unexpected") if self._only_warns else _TOO_DEEP
        self._log.error("admission failed", uid=review.request.uid, exc_info=error)
        if self._only_warns:
            return skipped("unexpected")
        message = "the storage webhook failed on this object; its log says why"
        snapshot = self._webhook.settings.current
        if snapshot is not None and snapshot.settings.observing:
            return lookup_failed(LookupFailed(message), snapshot.settings)
        return failed(message, code=500)

    def _record(self, response: AdmissionResponse, seconds: float, *, cached: bool) -> None:
        outcome = response.outcome
        self._webhook.metrics.on_admission(
            outcome.kind, outcome.reason, outcome.sources, seconds, differences=outcome.differences, cached=cached
        )
        event = {"uid": response.uid, **response.log_fields, "milliseconds": round(seconds * 1000, 3)}
        if cached:
            event["cached"] = True
        self._log.info("admission", **event)
        if self._on_admission is not None:
            self._on_admission(event)

    async def _reject(self, send: Send, status: int, message: str) -> None:
        self._webhook.metrics.on_rejected_request(status)
        self._log.warning("request rejected", status=status, message=message)
        headers = [(b"allow", b"POST")] if status == 405 else []
        # The rest of an unread body cannot be told from the next request, so the connection ends here.
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


# No object that Kubernetes knows comes near this depth, so the excess is in fields that it does not know.
_TOO_DEEP = Outcome(
    "denied",
    message="the object is nested too deeply: remove fields that Kubernetes does not know",
    code=422,
    audit={"outcome": "denied"},
)


def _log_fields(request: Request, outcome: Outcome) -> dict[str, Any]:
    """The fields of the log event that do not differ between pods of one controller. The pod's author chooses some."""
    fields: dict[str, Any] = {"namespace": request.namespace, "owner": request.owner, "outcome": outcome.kind}
    if outcome.reason:
        fields["reason"] = outcome.reason
    if outcome.sources:
        fields["sources"] = _shortened(outcome.sources)
    if outcome.containers:
        fields["containers"] = _shortened(outcome.containers)
    if outcome.differences:
        fields["differs"] = _shortened(outcome.differences)
    if outcome.message:
        fields["message"] = shortened(outcome.message, _MAX_LOGGED_MESSAGE)
    if request.dry_run:
        fields["dry_run"] = True
    return fields


def _shortened(names: Sequence[str]) -> Sequence[str]:
    """The first names, each cut to its first characters. Ordinary names are returned as they are."""
    if len(names) <= _MAX_LOGGED_NAMES and all(len(name) <= _MAX_LOGGED_NAME for name in names):
        return names
    shown = tuple(shortened(name, _MAX_LOGGED_NAME) for name in names[:_MAX_LOGGED_NAMES])
    return shown if len(names) <= _MAX_LOGGED_NAMES else (*shown, f"… {len(names) - len(shown)} more")


def _too_large() -> HttpError:
    return HttpError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
