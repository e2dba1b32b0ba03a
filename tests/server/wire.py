"""Requests as bytes, and connections as sockets: what an HTTP client would not send."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from tests.serving import HOST, Running, pod, review


def request_bytes(of: Any = None, *, close: bool = False) -> bytes:
    """The POST of an AdmissionReview; `close` asks the server to close the connection after the response."""
    body = json.dumps(review(of or pod(uri="s3://b/m"))).encode()
    ending = b"Connection: close\r\n" if close else b""
    return (
        b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
        % (ending, len(body), body)
    )


def read_to_end(connection: socket.socket) -> bytes:
    """Everything that the server sends until it closes the connection."""
    received = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


def is_answered(connection: socket.socket, request: bytes = b"") -> bool:
    """Send a request and read the whole response. Returns whether its status is 200."""
    try:
        connection.sendall(request or request_bytes())
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0]) if head else 0
        while len(body) < length:
            body += connection.recv(65536)
    except ConnectionError:
        return False
    return head.startswith(b"HTTP/1.1 200 ")


@contextlib.contextmanager
def silent_connections(server: Running, count: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing, not even the beginning of TLS. They are the newest connections."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((HOST, server.port), timeout=20)) for _ in range(count)]
