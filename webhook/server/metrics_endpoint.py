"""The metrics endpoint: the Prometheus metrics of the server, on a port of its own."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

Headers = list[tuple[bytes, bytes]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class MetricsEndpoint:
    """GET /metrics, in the text format that the client accepts, and compressed if it accepts gzip."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Any, send: Send) -> None:
        """Answer every request: with the metrics, or with an HTTP error and one line of text."""
        if scope["path"] != "/metrics":
            await _send(send, 404, [], b"the metrics are at /metrics\n")
        elif scope["method"] not in ("GET", "HEAD"):
            # The rest of an unread body cannot be told from the next request, so the connection ends here.
            await _send(send, 405, [(b"allow", b"GET, HEAD"), (b"connection", b"close")], b"send a GET request\n")
        else:
            await _send(send, 200, *self._exposition(scope["headers"]))

    def _exposition(self, headers: Headers) -> tuple[Headers, bytes]:
        """The headers and the body of a response to a request with these headers."""
        accept = _joined(headers, b"accept")
        try:
            body, content_type = self._encoded(accept)
        except (TypeError, ValueError):
            # The header has a version or an escaping scheme that is none. The client gets the default format.
            body, content_type = self._encoded("")
        described = [(b"content-type", content_type.encode()), (b"vary", b"Accept, Accept-Encoding")]
        if not gzip_accepted(_joined(headers, b"accept-encoding")):
            return described, body
        return [*described, (b"content-encoding", b"gzip")], gzip.compress(body, compresslevel=1)

    def _encoded(self, accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _joined(headers: Headers, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in headers if key == name)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
