"""A fake API server that serves one ConfigMap, and can simulate faults of list and watch."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration

PATH = "/api/v1/namespaces/kserve/configmaps"
NAME = "inferenceservice-config"


class ApiServer:
    """Serves list and watch of one ConfigMap on a loopback port, correctly unless a fault is configured.

    `lists` and `watches` are queues of faults, one for each future request; `always_list` and `always_watch` apply
    when the queue is empty. A fault is a function that takes the handler and writes the response.
    """

    def __init__(self, port: int = 0) -> None:
        self.lists: deque[Any] = deque()
        self.watches: deque[Any] = deque()
        self.always_list: Any = None
        self.always_watch: Any = None
        self.requests: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._events: list[tuple[int, str, dict[str, Any]]] = []
        self._version = 100
        self._object: dict[str, Any] | None = None
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def listed(self) -> int:
        return sum("watch" not in query for query in self.requests)

    @property
    def watched(self) -> int:
        return sum("watch" in query for query in self.requests)

    def client(self) -> ApiClient:
        """A client of this server, configured like that of `webhook.kubernetes_api.client.api_client`."""
        configuration = Configuration(host=f"http://127.0.0.1:{self.port}")
        configuration.retries = False
        return ApiClient(configuration)

    def put(self, data: dict[str, str]) -> str:
        """Create or replace the ConfigMap; returns its resourceVersion."""
        with self._changed:
            kind = "MODIFIED" if self._object else "ADDED"
            self._version += 1
            self._object = _config_map(data, self._version)
            self._events.append((self._version, kind, self._object))
            self._changed.notify_all()
            return str(self._version)

    def delete(self) -> None:
        """Delete the ConfigMap."""
        with self._changed:
            self._version += 1
            gone = {**(self._object or {}), "metadata": _metadata(self._version)}
            self._object = None
            self._events.append((self._version, "DELETED", gone))
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop listening, and close open connections."""
        self._server.shutdown()
        self._server.server_close()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    @property
    def stopped(self) -> bool:
        return not self._thread.is_alive()

    def send_list(self, handler: _Handler) -> None:
        with self._changed:
            items = [self._object] if self._object else []
            version = self._version
        body = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": _metadata(version), "items": items}
        handler.send_json(200, body)

    def send_watch(self, handler: _Handler) -> None:
        """Stream the events after the requested resourceVersion until timeoutSeconds is over."""
        handler.begin_stream()
        seen = int(handler.query["resourceVersion"])
        end = time.monotonic() + int(handler.query["timeoutSeconds"])
        while (left := end - time.monotonic()) > 0 and not self._server.closing:
            with self._changed:
                fresh = [event for event in self._events if event[0] > seen]
                if not fresh:
                    self._changed.wait(min(left, 0.05))
            for version, kind, config_map in fresh:
                seen = version
                handler.send_event(kind, config_map)
        handler.end_stream()


def _metadata(version: int) -> dict[str, str]:
    return {"name": NAME, "namespace": "kserve", "resourceVersion": str(version)}


def _config_map(data: dict[str, str], version: int) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": _metadata(version), "data": data}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: ApiServer
    closing = False

    def server_close(self) -> None:
        self.closing = True
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: some tests disconnect on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        api = self.server.api
        if self.server.closing:
            self.close_connection = True
            return
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        assert url.path == PATH
        assert self.query["fieldSelector"] == f"metadata.name={NAME}"
        api.requests.append(self.query)
        if "watch" in self.query:
            self._respond(api.watches, api.always_watch, api.send_watch)
        else:
            self._respond(api.lists, api.always_list, api.send_list)

    def _respond(self, queue: deque[Any], always: Any, default: Any) -> None:
        fault = queue.popleft() if queue else always
        self.close_connection = fault is not None
        (fault or default)(self)

    def send_json(self, status: int, body: Any) -> None:
        self.send_text(status, json.dumps(body).encode())

    def send_text(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def send_event(self, kind: str, body: Any) -> None:
        self.send_chunk(json.dumps({"type": kind, "object": body}).encode() + b"\n")

    def end_stream(self) -> None:
        self.send_chunk(b"")

    def reset(self) -> None:
        """Reset the connection, as a crashed host does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


# Faults.


def status(code: int, reason: str = "InternalError") -> Any:
    """A response with this HTTP status and a Status object."""
    return lambda handler: handler.send_json(code, _status(code, reason))


def error_event(code: int, reason: str) -> Any:
    """A stream with a single ERROR event, as the API server sends for 410 during a watch."""

    def act(handler: _Handler) -> None:
        handler.begin_stream()
        handler.send_event("ERROR", _status(code, reason))
        handler.end_stream()

    return act


def lines(*texts: bytes) -> Any:
    """A stream of arbitrary lines instead of events."""

    def act(handler: _Handler) -> None:
        handler.begin_stream()
        for text in texts:
            handler.send_chunk(text + b"\n")
        handler.end_stream()

    return act


def body(text: bytes, content_type: str = "text/html") -> Any:
    """A response with status 200 and an unexpected body, such as the login page of a proxy."""
    return lambda handler: handler.send_text(200, text, content_type)


def cut(handler: _Handler) -> None:
    """Send the headers of a stream, then reset the connection."""
    handler.begin_stream()
    handler.wfile.flush()
    handler.reset()


def cut_within_event(handler: _Handler) -> None:
    """Send half an event, then reset the connection."""
    handler.begin_stream()
    handler.send_chunk(b'{"type":"MODIFIED","object":{"kind":"Conf')
    handler.wfile.flush()
    handler.reset()


def end_at_once(handler: _Handler) -> None:
    """End the stream normally, without an event."""
    handler.begin_stream()
    handler.end_stream()


def silence(handler: _Handler) -> None:
    """Send the headers of a stream, then nothing."""
    handler.begin_stream()
    handler.wfile.flush()
    hang(handler)


def hang(handler: _Handler) -> None:
    """Send nothing, not even headers."""
    handler.connection.settimeout(0.05)
    while not handler.server.closing:
        with contextlib.suppress(TimeoutError):
            if not handler.connection.recv(1):
                return


def _status(code: int, reason: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{reason}, simulated by the test",
        "reason": reason,
        "code": code,
    }
