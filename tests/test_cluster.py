"""Reading the API: what a server that misbehaves makes of it, and that no answer's text gets out."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from tests.cluster_objects import secret
from tests.planted import PLANTED, leaks
from webhook.cluster import ClusterReader
from webhook.errors import LookupFailed, Unanswered
from webhook.facts import Secret
from webhook.objects import CLAIM, SECRET, SERVICE_ACCOUNT, STORAGE_CONFIG, STORAGE_CONTAINERS, Key

HUB = Key(SECRET, "models", "hub")


def reader(port: int) -> ClusterReader:
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    configuration.retries = False
    return ClusterReader(ApiClient(configuration))


@contextmanager
def answering(*answers: tuple[int, str] | None) -> Iterator[tuple[int, list[str]]]:
    """A server that gives one answer after the other; None closes the connection without one."""
    left, paths = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            paths.append(self.path)
            answer = left.pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, text = answer
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing: the tests read the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], paths
        finally:
            server.shutdown()
            thread.join()


SECRET_TEXT = json.dumps(secret("hub", {"HF_TOKEN": PLANTED}))


def test_an_object_is_read_at_its_path() -> None:
    with answering((200, SECRET_TEXT)) as (port, paths):
        assert reader(port)(HUB, 1) == Secret(frozenset({"HF_TOKEN"}))
    assert paths == ["/api/v1/namespaces/models/secrets/hub"]


PATHS = {
    Key(SERVICE_ACCOUNT, "models", "default"): "/api/v1/namespaces/models/serviceaccounts/default",
    Key(CLAIM, "models", "iris.v1"): "/api/v1/namespaces/models/persistentvolumeclaims/iris.v1",
    Key(STORAGE_CONFIG, "models", "storage-config"): "/api/v1/namespaces/models/secrets/storage-config",
    Key(STORAGE_CONTAINERS): "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers",
}


@pytest.mark.parametrize(("key", "path"), PATHS.items(), ids=map(str, PATHS))
def test_what_is_not_there(key: Key[Any], path: str) -> None:
    with answering((404, '{"kind": "Status"}')) as (port, paths):
        assert reader(port)(key, 1) == key.kind.absent
    assert paths == [path]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../kube-system/secrets/token", "a/b", "a?x=1", "a%2f", "A", "a" * 254]
)
def test_a_name_that_no_object_has_is_not_asked_for(name: str) -> None:
    with answering() as (port, paths):
        assert reader(port)(Key(SECRET, "models", name), 1) is None
        assert reader(port)(Key(SECRET, name, "hub"), 1) is None
    assert paths == []


REFUSALS = {
    (403, "no"): ('may not read Secret "hub" in namespace "models"', "RBAC", "get secrets"),
    (401, "no"): ("does not accept the storage webhook's credentials", "try again"),
    (429, "later"): ("answered 429", "try again"),
    (500, "oh"): ("answered 500", "try again"),
    (503, "starting"): ("answered 503", "try again"),
    (302, "elsewhere"): ("answered 302", "try again"),
    (200, f'{{"data": "{PLANTED}'): ("could not make sense",),
    (200, f'["{PLANTED}"]'): ("could not make sense",),
    (200, ""): ("could not make sense",),
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.items(), ids=map(str, REFUSALS))
def test_an_answer_that_is_none_is_said_in_words(answer: tuple[int, str], words: tuple[str, ...]) -> None:
    with answering(answer) as (port, _), pytest.raises(LookupFailed) as raised:
        reader(port)(HUB, 1)
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not leaks("".join(traceback.format_exception(raised.value)))
    assert raised.value.__context__ is None, "the cause may hold the text of the answer"
    assert isinstance(raised.value, Unanswered) == (answer[0] in (429, 500, 503)), "whether to ask again in a moment"


def test_storage_containers_that_may_not_be_read_are_not_used_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with answering((403, "no"), (403, "no")) as (port, _):
        read = reader(port)
        assert [read(Key(STORAGE_CONTAINERS), 1) for _ in range(2)] == [(), ()]
    assert caplog.text.count("list clusterstoragecontainers.serving.kserve.io") == 1


def test_a_connection_that_the_server_closed_is_opened_again() -> None:
    with answering(None, (200, SECRET_TEXT)) as (port, _):
        assert reader(port)(HUB, 1) is not None


def test_a_server_that_hangs_up_for_good() -> None:
    with answering(None, None) as (port, _), pytest.raises(Unanswered, match=r"cannot be reached .* try again"):
        reader(port)(HUB, 1)


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unanswered, match=r"cannot be reached \(NewConnectionError\)"):
        reader(port)(HUB, 1)


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(LookupFailed, match=r"within 0\.1 s"):
        reader(listener.getsockname()[1])(HUB, 0.1)


def test_no_secret_value_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering((200, SECRET_TEXT), (200, SECRET_TEXT[:-9]), (403, SECRET_TEXT)) as (port, _):
        read = reader(port)
        read(HUB, 1)
        for _ in range(2):
            with pytest.raises(LookupFailed):
                read(HUB, 1)
    assert "secrets/hub" in caplog.text, "nothing was logged at all"
    assert not leaks(caplog.text)
