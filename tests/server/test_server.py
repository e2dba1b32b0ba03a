"""The connection, its limits and its end."""

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import threading
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.golden import cases
from tests.serving import HOST, eventually, pod, response_of, review, serving
from webhook import annotations
from webhook.certificates import tls
from webhook.cluster.facts import NO_FACTS, NoCluster
from webhook.server import connection, endpoint, listener
from webhook.server import server as server_module

MUTATE = "/mutate-pods"


def request_bytes(of=None, *, close=False):
    body = json.dumps(review(of or pod(uri="s3://b/m"))).encode()
    ending = b"Connection: close\r\n" if close else b""
    return (
        b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
        % (ending, len(body), body)
    )


def read_to_end(connection):
    """All that the server sends until it closes."""
    received = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


# --- TLS and client certificates


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(running):
    context = running.authority.client_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((HOST, running.port)) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname=HOST)


def test_plain_http_gets_no_answer_and_harms_nothing(running, client):
    with socket.create_connection((HOST, running.port), timeout=20) as plain:
        plain.sendall(request_bytes())
        assert b"200" not in read_to_end(plain)
    assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def guarded(authority, tmp_path_factory):
    """A server that asks the mutating routes' callers for a certificate of `authority`."""
    directory = tmp_path_factory.mktemp("guarded")
    ca = directory / "ca.crt"
    ca.write_bytes(authority.ca.cert_pem.bytes())
    with serving(authority, directory, client_ca=ca) as server:
        yield server


def client_files(authority, directory):
    directory.mkdir()
    return authority.issue(directory)


def test_a_caller_with_the_right_certificate_may_mutate(guarded, authority, tmp_path):
    with guarded.client(client_files(authority, tmp_path / "client")) as client:
        assert "patch" in response_of(client.post(MUTATE, json=review(pod(uri="s3://b/m"))))
        # Also on a resumed session.
        client.headers["connection"] = "close"
        for _ in range(2):
            assert client.post(MUTATE, json=review(pod())).status_code == 200


def test_a_caller_without_a_certificate_may_ask_for_health_only(guarded):
    with guarded.client() as client:
        answer = client.post(MUTATE, json=review(pod(uri="s3://b/m")))
        assert (answer.status_code, answer.text) == (403, "a client certificate is required here\n")
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_certificate_of_another_authority_does_not_get_past_tls(guarded, tmp_path, stranger):
    with (
        guarded.client(client_files(stranger, tmp_path / "client")) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(MUTATE, json=review(pod()))


# --- What no API server sends


REVIEWS = [case.body for case in cases()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def places(value, path=()):
    """The paths of everything in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value, path, new):
    """Put `new` where `path` points."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@st.composite
def damaged_reviews(draw):
    damaged = json.loads(draw(st.sampled_from(REVIEWS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(damaged) if path]))
        put(damaged, path, draw(JSON))
    return damaged


VALUES = st.one_of(
    st.text(),
    JSON.map(json.dumps),
    st.sampled_from(["true", "disabled", "server", "1", "1Gi", "copy", "file", "/mnt/x", "pvc://c/m.onnx", "hf://a/b"]),
    st.lists(st.builds(dict, uri=st.just("pvc://c/a"), mountPath=st.text())).map(json.dumps),
)


@st.composite
def hostile_pods(draw):
    hostile = pod(uri="s3://bucket/model")
    hostile["metadata"]["labels"] = draw(st.dictionaries(st.sampled_from(annotations.ALL), VALUES, max_size=2))
    hostile["metadata"]["annotations"] |= draw(st.dictionaries(st.sampled_from(annotations.ALL), VALUES, max_size=6))
    path = draw(st.sampled_from([path for path in places(hostile) if path]))
    if draw(st.booleans()):
        put(hostile, path, draw(JSON))
    return hostile


def check(answer):
    """An answer that is one: an admission response that is not ours to be ashamed of, or a 400 in one line."""
    if answer.status_code == 400:
        assert len(answer.text.splitlines()) == 1
        return
    response = response_of(answer)
    assert response.get("status", {}).get("code") in (None, 403, 422), response["status"]


generous = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@generous
@given(damaged_reviews())
def test_damaged_reviews_are_answered(client, damaged):
    check(client.post(MUTATE, content=json.dumps(damaged), headers={"content-type": "application/json"}))


@generous
@given(hostile_pods())
def test_any_annotations_are_answered(client, hostile):
    check(client.post(MUTATE, content=json.dumps(review(hostile)), headers={"content-type": "application/json"}))


@generous
@given(st.binary() | (JSON | JSON.map(review)).map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered(client, body):
    check(client.post(MUTATE, content=body, headers={"content-type": "application/json"}))


@settings(generous, max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_instead_of_http_leave_the_server_alive(running, client, garbage):
    with running.connect() as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        connection.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            assert not connection.recv(100).startswith(b"HTTP/1.1 500")
    assert client.get("/healthz").status_code == 200


@settings(generous, max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_instead_of_tls_leave_the_server_alive(running, client, garbage):
    with socket.create_connection((HOST, running.port)) as plain:
        plain.sendall(garbage)
    assert client.get("/healthz").status_code == 200


# --- Limits


@pytest.mark.parametrize(
    "endless",
    [b"A: b\r\n" * 1000, b"a" * 10_000],
    ids=["many headers", "one header"],
)
def test_a_header_without_end_is_cut_off(running, client, endless):
    with running.connect() as connection:
        connection.sendall(b"POST /mutate-pods HTTP/1.1\r\nA: ")
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(endless)
    assert client.get("/healthz").status_code == 200


def test_headers_of_the_api_server_are_taken(running):
    with running.connect() as connection:
        connection.sendall(request_bytes(close=True).replace(b"\r\n", b"\r\nX-Trace: %s\r\n" % (b"a" * 30_000), 1))
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def hasty(authority, tmp_path, monkeypatch):
    """A server whose patience is short."""
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "KEEP_ALIVE_TIMEOUT_SECONDS", 0.6)
    with serving(authority, tmp_path) as server:
        yield server


@pytest.mark.parametrize("begin", [b"P", b"POST / HTTP/1.1\r\nA: b", b"\r\n", request_bytes()[:-1]])
def test_a_sender_that_is_slow_is_cut_off_while_others_are_served(hasty, begin):
    with hasty.connect() as slow, hasty.client() as client:
        slow.sendall(begin)
        assert client.get("/healthz").status_code == 200
        assert not read_to_end(slow).startswith(b"HTTP/1.1 2")


def test_drops_that_keep_coming_buy_no_time(hasty):
    with hasty.connect() as slow, pytest.raises(OSError):
        slow.sendall(request_bytes()[:-1000])
        for byte in request_bytes()[-1000:]:
            slow.sendall(bytes([byte]))
            time.sleep(0.01)


def test_a_connection_that_is_not_used_is_closed(hasty):
    with hasty.connect() as silent, hasty.connect() as served:
        assert read_to_end(silent) == b""
        served.sendall(request_bytes())
        assert read_to_end(served).startswith(b"HTTP/1.1 200 ")


def test_blank_lines_after_a_request_buy_no_time(hasty):
    with hasty.connect() as connection:
        connection.sendall(request_bytes())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        read_to_end(connection)


def is_answered(connection):
    """Send a request, and read the whole answer."""
    connection.sendall(request_bytes())
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0]) if head else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head.startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def crowded(authority, tmp_path):
    """A server that takes four connections."""
    with serving(authority, tmp_path, max_connections=4) as server:
        yield server


@contextlib.contextmanager
def strangers(server, count):
    """Connections that send nothing, not even the beginning of TLS; younger than all that is there."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((HOST, server.port), timeout=20)) for _ in range(count)]


def test_strangers_make_room_for_each_other_and_never_harm_a_guest(crowded):
    with crowded.connect() as guest:
        assert is_answered(guest)
        with strangers(crowded, 10) as waiting, strangers(crowded, 10), crowded.connect() as newcomer:
            assert all(is_answered(connection) for connection in (newcomer, guest, newcomer))
            assert all(read_to_end(stranger) == b"" for stranger in waiting)


def test_of_guests_the_one_that_was_silent_longest_makes_room(crowded):
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(crowded.connect()) for _ in range(4)]
        assert all(is_answered(guest) for guest in (*guests, guests[0]))
        stack.enter_context(crowded.connect())
        assert read_to_end(guests[1]) == b""
        assert all(is_answered(guest) for guest in (guests[0], guests[2], guests[3]))


def test_who_is_being_answered_makes_no_room(authority, tmp_path):
    held = Held()
    with serving(authority, tmp_path, max_connections=2, facts=held) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(2)]
        for connection in busy:
            connection.sendall(request_bytes())
        eventually(lambda: server.webhook.in_flight == 2)
        with strangers(server, 3) as turned_away:
            assert all(read_to_end(stranger) == b"" for stranger in turned_away)
        held.release.set()
        assert all(connection.recv(65536).startswith(b"HTTP/1.1 200 ") for connection in busy)


def test_a_handshake_that_does_not_go_on_is_cut_off(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_SECONDS", 0.3)
    with serving(authority, tmp_path) as server, strangers(server, 1) as (silent,), strangers(server, 1) as (begun,):
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert read_to_end(silent) == read_to_end(begun) == b""
        with server.client() as client:
            assert client.get("/healthz").status_code == 200


def test_bodies_that_are_too_much_together_are_refused(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "MAX_INCOMPLETE_BYTES", 300_000)
    unfinished = request_bytes().partition(b"Content-Length")[0] + b"Content-Length: 900000\r\n\r\n"
    with serving(authority, tmp_path) as server, server.connect() as one, server.connect() as other:
        one.sendall(unfinished + b" " * 200_000)
        eventually(lambda: server.webhook.receiving >= 200_000)
        other.sendall(unfinished + b" " * 200_000)
        assert other.recv(65536).startswith(b"HTTP/1.1 503 ")
        with server.client() as client:
            assert response_of(client.post(MUTATE, json=review(pod(uri="s3://b/m"))))["allowed"]
        one.sendall(b" " * 200_000)
        assert one.recv(65536).startswith(b"HTTP/1.1 503 ")
        eventually(lambda: server.webhook.receiving == 0)


def test_requests_that_arrive_in_pieces_or_together_are_answered(running):
    with running.connect() as connection:
        whole = request_bytes() + request_bytes() + request_bytes(close=True)
        for start in range(0, len(whole), 700):
            connection.sendall(whole[start : start + 700])
        assert read_to_end(connection).count(b"HTTP/1.1 200 ") == 3


def test_who_waits_to_be_told_to_continue_is_told(running):
    header, body = request_bytes().split(b"\r\n\r\n", 1)
    with running.connect() as connection:
        connection.sendall(header + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_answer_is_one_tls_record(running):
    with running.connect() as connection:
        connection.sendall(request_bytes())
        header, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        assert header.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body)["response"]["allowed"]


@pytest.fixture
def no_garbage_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_of_a_closed_connection_nothing_waits_for_the_garbage_collector(running, no_garbage_collection):
    """It comes seldom, and a connection's buffers for TLS are large: 600 connections left 10 MB."""
    before = connections_in_memory()
    for sent in (b"", b"nonsense\r\n\r\n", request_bytes()[:200], request_bytes(), request_bytes(close=True)):
        with running.connect() as connection:
            connection.sendall(sent)
            connection.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                read_to_end(connection)
    eventually(lambda: connections_in_memory() <= before)
    assert not gc.isenabled()


def connections_in_memory():
    return sum(
        isinstance(each, connection.HttpConnection | listener.PendingConnection | ssl.SSLObject)
        for each in gc.get_objects()
    )


def test_connections_outlive_the_api_servers_idle_pool():
    assert server_module.KEEP_ALIVE_TIMEOUT_SECONDS >= 120


# --- The end


class Held(NoCluster):
    """Facts that arrive when the test says so."""

    def __init__(self):
        self.asked, self.release = threading.Event(), threading.Event()

    def cached(self, request, settings):
        return None

    async def lookup(self, request, settings):
        self.asked.set()
        while not self.release.is_set():
            await asyncio.sleep(0.01)
        return NO_FACTS


def test_what_is_in_flight_is_answered_before_the_end(authority, tmp_path):
    held = Held()
    with serving(authority, tmp_path, facts=held) as server, server.connect() as connection:
        connection.sendall(request_bytes())
        assert held.asked.wait(10)
        server.begin_to_stop()
        time.sleep(0.3)
        held.release.set()
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"patch"' in answer


def test_a_request_on_its_way_in_is_answered_before_the_end(authority, tmp_path):
    request = request_bytes()
    with serving(authority, tmp_path) as server, server.connect() as header, server.connect() as body:
        header.sendall(request[:20])
        body.sendall(request[:-20])
        time.sleep(0.2)
        server.begin_to_stop()
        time.sleep(0.3)
        header.sendall(request[20:])
        body.sendall(request[-20:])
        assert read_to_end(header).startswith(b"HTTP/1.1 200 ")
        assert read_to_end(body).startswith(b"HTTP/1.1 200 ")


def test_idle_connections_do_not_hold_the_end_up(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "FIRST_REQUEST_TIMEOUT_SECONDS", 0.3)
    with serving(authority, tmp_path) as server:
        outside = socket.create_connection((HOST, server.port))
        silent, served = server.connect(), server.connect()
        served.sendall(request_bytes())
        assert served.recv(65536).startswith(b"HTTP/1.1 200 ")
        # None of the clients reads on, so none takes its leave.
        server.stop()
        for connection in (outside, silent, served):
            connection.close()


def test_who_came_before_the_end_is_answered_and_then_has_to_leave(authority, tmp_path):
    with serving(authority, tmp_path) as server, contextlib.ExitStack() as open_ones:
        inside = [open_ones.enter_context(server.connect()) for _ in range(3)]
        outside = [socket.create_connection((HOST, server.port), timeout=20) for _ in range(3)]
        server.begin_to_stop()
        eventually(lambda: is_refused(server.port))
        for plain in outside:
            inside.append(open_ones.enter_context(authority.client_context().wrap_socket(plain, server_hostname=HOST)))
        inside[0].sendall(b"GET /healthz HTTP/1.1\r\nhost: webhook\r\n\r\n")
        for connection in inside[1:]:
            connection.sendall(request_bytes())
        for connection in inside:
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def is_refused(port):
    try:
        socket.create_connection((HOST, port), timeout=20).close()
    except ConnectionError:
        return True
    return False


def test_connections_in_the_kernels_queue_are_accepted_when_the_listener_closes(authority, tmp_path):
    class Echo(listener.Connection):
        def __init__(self, pending):
            self.pending = pending

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())
            self.transport.close()

        def connection_lost(self, error):
            self.pending.on_close()

        def is_busy(self):
            return False

        evict = shutdown = close_idle = lambda self: None

    context = tls.server_context(None)
    context.load_cert_chain(*authority.issue(tmp_path))

    def ask(plain):
        with authority.client_context().wrap_socket(plain, server_hostname=HOST) as client:
            client.sendall(b"hello")
            return client.recv(100)

    async def close_at_once():
        with socket.create_server((HOST, 0)) as listening:
            listening.setblocking(False)
            clients = [socket.create_connection(listening.getsockname(), timeout=20) for _ in range(20)]
            closed = listener.Listener(listening, context, 1000, Echo)
            closed.close()
            answers = asyncio.gather(*(asyncio.to_thread(ask, client) for client in clients))
            await closed.wait_closed()
            return await answers

    assert asyncio.run(close_at_once()) == [b"HELLO"] * 20


def test_while_draining_requests_are_taken_and_every_answer_closes(authority, tmp_path):
    with serving(authority, tmp_path, drain_seconds=30) as server, server.client() as client:
        assert client.get("/readyz").status_code == 200
        server.begin_to_stop()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.text.startswith("draining\n")
        answer = client.post(MUTATE, json=review(pod(uri="s3://b/m")))
        assert "patch" in response_of(answer)
        assert answer.headers["connection"] == "close"
        # The second signal ends the drain.
        server.stop()


def test_an_address_in_use_is_named(running):
    with (
        pytest.raises(server_module.CannotListen, match=rf"127.0.0.1, port {running.port}: Address already in use"),
        server_module._listen(HOST, running.port),
    ):
        pass
