"""Reads from the API server: errors, and that the text of responses is never exposed."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from tests.cluster_objects import secret
from tests.planted import PLANTED, leaks
from webhook.cluster.facts import PullSecret, Secret
from webhook.cluster.kinds import (
    CLAIM,
    PULL_SECRET,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CONFIG,
    STORAGE_CONTAINERS,
    Key,
)
from webhook.cluster.reader import MAX_RESPONSE_BYTES, ClusterReader
from webhook.errors import LookupFailed, Unavailable

HUB = Key(SECRET, "models", "hub")


def reader(port: int) -> ClusterReader:
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    configuration.retries = False
    return ClusterReader(ApiClient(configuration))


@contextmanager
def api_server(*responses: tuple[int, str] | None) -> Iterator[tuple[int, list[str]]]:
    """A server that sends these responses in order; None closes the connection without a response."""
    remaining, paths = list(responses), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            paths.append(self.path)
            response = remaining.pop(0)
            if response is None:
                self.close_connection = True
                return
            status, text = response
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Log nothing, because the tests check the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], paths
        finally:
            server.shutdown()
            thread.join()


SECRET_TEXT = json.dumps(secret("hub", {"HF_TOKEN": PLANTED}))


def test_an_object_is_read_from_its_path() -> None:
    with api_server((200, SECRET_TEXT)) as (port, paths):
        assert reader(port)(HUB, 1) == Secret(frozenset({"HF_TOKEN"}))
    assert paths == ["/api/v1/namespaces/models/secrets/hub"]


PATHS = {
    Key(SERVICE_ACCOUNT, "models", "default"): "/api/v1/namespaces/models/serviceaccounts/default",
    Key(CLAIM, "models", "iris.v1"): "/api/v1/namespaces/models/persistentvolumeclaims/iris.v1",
    Key(PULL_SECRET, "models", "registry"): "/api/v1/namespaces/models/secrets/registry",
    Key(STORAGE_CONFIG, "models", "storage-config"): "/api/v1/namespaces/models/secrets/storage-config",
    Key(STORAGE_CONTAINERS): "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers",
}


@pytest.mark.parametrize(("key", "path"), PATHS.items(), ids=map(str, PATHS))
def test_a_missing_object_is_the_absent_value_of_its_kind(key: Key[Any], path: str) -> None:
    with api_server((404, '{"kind": "Status"}')) as (port, paths):
        assert reader(port)(key, 1) == key.kind.absent
    assert paths == [path]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../kube-system/secrets/token", "a/b", "a?x=1", "a%2f", "A", "a" * 254]
)
def test_an_invalid_name_is_not_requested(name: str) -> None:
    with api_server() as (port, paths):
        assert reader(port)(Key(SECRET, "models", name), 1) is None
        assert reader(port)(Key(SECRET, name, "hub"), 1) is None
    assert paths == []


ERRORS = {
    (403, "no"): ('not allowed to read Secret "hub" in namespace "models"', "RBAC", "get secrets"),
    (401, "no"): ("did not accept the storage webhook's credentials", "try again"),
    (429, "later"): ("responded with status 429", "try again"),
    (500, "oh"): ("responded with status 500", "try again"),
    (503, "starting"): ("responded with status 503", "try again"),
    (302, "elsewhere"): ("responded with status 302", "try again"),
    (200, f'{{"data": "{PLANTED}'): ("could not parse",),
    (200, f'["{PLANTED}"]'): ("could not parse",),
    (200, ""): ("could not parse",),
}


@pytest.mark.parametrize(("response", "words"), ERRORS.items(), ids=map(str, ERRORS))
def test_error_responses(response: tuple[int, str], words: tuple[str, ...]) -> None:
    with api_server(response) as (port, _), pytest.raises(LookupFailed) as raised:
        reader(port)(HUB, 1)
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not leaks("".join(traceback.format_exception(raised.value)))
    assert raised.value.__context__ is None, "the context may contain the text of the response"
    assert isinstance(raised.value, Unavailable) == (response[0] in (429, 500, 503)), "whether the read may be retried"


def test_forbidden_storage_containers_are_not_used_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with api_server((403, "no"), (403, "no")) as (port, _):
        read = reader(port)
        assert [read(Key(STORAGE_CONTAINERS), 1) for _ in range(2)] == [(), ()]
    assert caplog.text.count("list clusterstoragecontainers.serving.kserve.io") == 1


def test_a_forbidden_pull_secret_is_unknown_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with api_server((403, "no"), (403, "no")) as (port, _):
        read = reader(port)
        assert [read(Key(PULL_SECRET, "models", "registry"), 1) for _ in range(2)] == [PullSecret(None)] * 2
    assert caplog.text.count("get secrets") == 1


@pytest.mark.parametrize("key", [".dockerconfigjson", ".dockercfg"])
def test_a_pull_secret_is_reduced_to_whether_it_has_the_key(key: str) -> None:
    with api_server((200, json.dumps(secret("registry", {key: PLANTED})))) as (port, _):
        found = reader(port)(Key(PULL_SECRET, "models", "registry"), 1)
    assert found == PullSecret(key == ".dockerconfigjson")


def test_a_closed_connection_is_reopened() -> None:
    with api_server(None, (200, SECRET_TEXT)) as (port, _):
        assert reader(port)(HUB, 1) is not None


def test_a_server_that_closes_every_connection() -> None:
    with api_server(None, None) as (port, _), pytest.raises(Unavailable, match=r"cannot be reached .* try again"):
        reader(port)(HUB, 1)


def test_a_port_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match=r"cannot be reached \(NewConnectionError\)"):
        reader(port)(HUB, 1)


def test_a_server_that_does_not_respond() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(LookupFailed, match=r"within 0\.1 s"):
        reader(listener.getsockname()[1])(HUB, 0.1)


@pytest.mark.parametrize("key", PATHS, ids=map(str, PATHS))
def test_a_response_that_is_too_large_is_not_read_to_its_end(key: Key[Any]) -> None:
    sent = 0

    def send_without_end(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with suppress(OSError):
            while sent < 20 * MAX_RESPONSE_BYTES:
                connection.sendall(b"[" * 65536)
                sent += 65536
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=lambda: send_without_end(listener.accept()[0]))
        thread.start()
        with pytest.raises(LookupFailed, match=r"larger than .*: make it smaller"):
            reader(listener.getsockname()[1])(key, 5)
        thread.join()
    assert sent < 10 * MAX_RESPONSE_BYTES, "the connection was closed"


def test_the_largest_response_is_read() -> None:
    padding = " " * (MAX_RESPONSE_BYTES - len(SECRET_TEXT))
    with api_server((200, SECRET_TEXT + padding), (200, SECRET_TEXT + padding + " "), (200, SECRET_TEXT)) as (port, _):
        read = reader(port)
        assert read(HUB, 5) == Secret(frozenset({"HF_TOKEN"}))
        with pytest.raises(LookupFailed, match="larger than"):
            read(HUB, 5)
        assert read(HUB, 5) == Secret(frozenset({"HF_TOKEN"}))


def test_no_secret_value_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with api_server((200, SECRET_TEXT), (200, SECRET_TEXT[:-9]), (403, SECRET_TEXT)) as (port, _):
        read = reader(port)
        read(HUB, 1)
        for _ in range(2):
            with pytest.raises(LookupFailed):
                read(HUB, 1)
    assert "secrets/hub" in caplog.text, "nothing was logged at all"
    assert not leaks(caplog.text)
