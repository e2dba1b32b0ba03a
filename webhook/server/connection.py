"""An HTTP connection: uvicorn's protocol with time and size limits for requests, and whole responses."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.server.endpoint import CLIENT_VERIFIED, MAX_BODY_BYTES
from webhook.server.listener import Connection, PendingConnection

# Seconds from the first byte of a request to its last.
REQUEST_TIMEOUT_SECONDS = 10
# Seconds in which a client must read enough of the responses for the server to write the next one.
WRITE_TIMEOUT_SECONDS = 10
# From the first byte of a request to the blank line.
MAX_HEADER_BYTES = 64 * 1024
# A whole request as it arrives: the endpoint limits its body, but not the overhead of chunks and trailers.
MAX_REQUEST_BYTES = MAX_BODY_BYTES + 1024 * 1024
# Requests that wait for the response to an earlier one. API servers send the next request after the response.
MAX_PIPELINED_REQUESTS = 8
# Seconds that a client gets to close TLS when the server closes an idle connection.
CLOSE_TIMEOUT_SECONDS = 1


class RequestRejected(Exception):
    """A request that exceeds a limit. The message is the body of the response."""


class HttpConnection(HttpToolsProtocol, Connection):
    """One connection. Tells the routes whether the client is verified, and ends slow and endless requests.

    uvicorn waits forever for a client that never begins or never ends a request, or never reads a response. Nearly
    every request arrives in one piece, for which the limits cost next to nothing. While no request is being answered,
    what arrives is a header; once uvicorn has one, its cycle says whether more of the body is to come.
    """

    def __init__(self, pending: PendingConnection, **options: Any) -> None:
        super().__init__(**options)
        self._pending = pending

    def connection_made(self, transport: Any) -> None:
        self._responses = _ResponseBuffer(transport, self)
        super().connection_made(self._responses)  # type: ignore[arg-type]
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {CLIENT_VERIFIED: bool(tls and tls.getpeercert())}
        self._arrived_bytes = 0
        self._header_bytes = 0
        self._rejection = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._cancel_deadline()
        self._cancel_write_deadline()
        self._pending.on_close()
        super().connection_lost(exc)
        self._responses.discard()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_idle():
            self._on_partial_request(len(data), MAX_HEADER_BYTES)
        elif self.cycle.more_body:
            self._on_partial_request(len(data), MAX_REQUEST_BYTES)
        elif self._deadline is not None:
            self._cancel_deadline()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = len(b"\r\n")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_header(len(name) + len(value) + len(b": \r\n"))

    def on_headers_complete(self) -> None:
        self._count_header(len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n"))
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self._reject("too many requests before the response to the first one")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that was rejected while it was parsed, and close."""
        if not self.transport.is_closing():
            super().send_400_response(self._rejection or msg)
            self._abort_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_deadline()

    def on_response_complete(self) -> None:
        self._responses.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()
        else:
            self._pending.on_response()

    def is_busy(self) -> bool:
        return not self._is_idle() and self._deadline is None and self._write_deadline is None

    def evict(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """Close when idle. A request that is arriving is still answered, and so is a first request."""
        if self._deadline is not None or self.cycle is None:
            return
        super().shutdown()
        if self._is_idle():
            self._abort_later()

    def close_idle(self) -> None:
        if self._deadline is None and self.cycle is None:
            self.transport.close()
            self._abort_later()

    def _abort_later(self) -> None:
        # A client that does not close TLS would hold the connection, and the server's exit, for half a minute.
        self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._reject(f"the header of the request is larger than {MAX_HEADER_BYTES} bytes")

    def _reject(self, message: str) -> NoReturn:
        """End the parser, which then calls `send_400_response`."""
        self._rejection = message
        raise RequestRejected(message)

    def _on_partial_request(self, size: int, limit: int) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_SECONDS, self.transport.abort)
        self._arrived_bytes += size
        if self._arrived_bytes > limit:
            self.transport.abort()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._arrived_bytes = 0

    def _cancel_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None


class _ResponseBuffer:
    """A transport that sends the header of a response with its body: one TLS record, one system call."""

    def __init__(self, transport: Any, connection: HttpConnection) -> None:
        self._transport = transport
        self._connection: HttpConnection | None = connection
        self._buffer: list[bytes] = []
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send; data of an incomplete response waits for `flush`."""
        self._buffer.append(data)
        cycle = self._connection.cycle if self._connection else None
        if cycle is None or not cycle.response_started or cycle.response_complete:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered."""
        if self._buffer:
            self._transport.write(b"".join(self._buffer))
            self._buffer.clear()

    def discard(self) -> None:
        """Drop the buffer and break the reference cycle, which would otherwise wait for the garbage collector."""
        self._connection = None
        self._buffer.clear()

    def close(self) -> None:
        """Send what is buffered, and close."""
        self.flush()
        self._transport.close()
