"""The HTTPS server: TLS, limits of connections and requests, and shutdown."""

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
from tests.server.wire import is_answered, read_to_end, request_bytes, silent_connections
from tests.serving import HOST, eventually, pod, response_of, review, serving
from webhook import annotations
from webhook.certificates import tls
from webhook.cluster.facts import NO_FACTS, NoCluster
from webhook.server import connection, endpoint, listener
from webhook.server import server as server_module

MUTATE = "/mutate-pods"


# --- TLS and client certificates


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_1_is_rejected(running):
    context = running.authority.client_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((HOST, running.port)) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname=HOST)


def test_plain_http_gets_no_response(running, client):
    with socket.create_connection((HOST, running.port), timeout=20) as plain:
        plain.sendall(request_bytes())
        assert b"200" not in read_to_end(plain)
    assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def guarded(authority, tmp_path_factory):
    """A server whose admission routes require a client certificate of `authority`."""
    directory = tmp_path_factory.mktemp("guarded")
    ca = directory / "ca.crt"
    ca.write_bytes(authority.ca.cert_pem.bytes())
    with serving(authority, directory, client_ca=ca) as server:
        yield server


def client_files(authority, directory):
    directory.mkdir()
    return authority.issue(directory)


def test_a_client_with_a_trusted_certificate_may_mutate(guarded, authority, tmp_path):
    with guarded.client(client_files(authority, tmp_path / "client")) as client:
        assert "patch" in response_of(client.post(MUTATE, json=review(pod(uri="s3://b/m"))))
        # A resumed session has the certificate too.
        client.headers["connection"] = "close"
        for _ in range(2):
            assert client.post(MUTATE, json=review(pod())).status_code == 200


def test_a_client_without_a_certificate_may_only_read_health(guarded):
    with guarded.client() as client:
        http_response = client.post(MUTATE, json=review(pod(uri="s3://b/m")))
        assert (http_response.status_code, http_response.text) == (403, "a client certificate is required here\n")
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_certificate_of_another_authority_fails_the_handshake(guarded, tmp_path, stranger):
    with (
        guarded.client(client_files(stranger, tmp_path / "client")) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(MUTATE, json=review(pod()))


# --- Invalid input


REVIEWS = [case.body for case in cases()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def places(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value, path, new):
    """Replace the value at `path`."""
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


def check(http_response):
    """Check that a response is an admission response without an internal error, or HTTP 400 with one line."""
    if http_response.status_code == 400:
        assert len(http_response.text.splitlines()) == 1
        return
    response = response_of(http_response)
    assert response.get("status", {}).get("code") in (None, 403, 422), response["status"]


generous = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@generous
@given(damaged_reviews())
def test_damaged_reviews_get_a_valid_response(client, damaged):
    check(client.post(MUTATE, content=json.dumps(damaged), headers={"content-type": "application/json"}))


@generous
@given(hostile_pods())
def test_any_annotations_get_a_valid_response(client, hostile):
    check(client.post(MUTATE, content=json.dumps(review(hostile)), headers={"content-type": "application/json"}))


@generous
@given(st.binary() | (JSON | JSON.map(review)).map(lambda value: json.dumps(value).encode()))
def test_any_body_gets_a_valid_response(client, body):
    check(client.post(MUTATE, content=body, headers={"content-type": "application/json"}))


@settings(generous, max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_the_server_survives_any_bytes_instead_of_http(running, client, garbage):
    with running.connect() as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        connection.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            assert not connection.recv(100).startswith(b"HTTP/1.1 500")
    assert client.get("/healthz").status_code == 200


@settings(generous, max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_the_server_survives_any_bytes_instead_of_tls(running, client, garbage):
    with socket.create_connection((HOST, running.port)) as plain:
        plain.sendall(garbage)
    assert client.get("/healthz").status_code == 200


# --- Limits


@pytest.mark.parametrize(
    "endless",
    [b"A: b\r\n" * 1000, b"a" * 10_000],
    ids=["many headers", "one header"],
)
def test_an_endless_header_closes_the_connection(running, endless):
    with running.connect() as connection:
        connection.sendall(b"POST /mutate-pods HTTP/1.1\r\nA: ")
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(endless)
    # A new client: in Python 3.13 the reset of one TLS connection is also reported by an older one of the same thread.
    with running.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_header_below_the_limit_is_accepted(running):
    with running.connect() as connection:
        connection.sendall(request_bytes(close=True).replace(b"\r\n", b"\r\nX-Trace: %s\r\n" % (b"a" * 30_000), 1))
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def hasty(authority, tmp_path, monkeypatch):
    """A server with short timeouts."""
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "KEEP_ALIVE_TIMEOUT_SECONDS", 0.6)
    with serving(authority, tmp_path) as server:
        yield server


@pytest.mark.parametrize("begin", [b"P", b"POST / HTTP/1.1\r\nA: b", b"\r\n", request_bytes()[:-1]])
def test_a_slow_request_is_closed_while_other_clients_are_served(hasty, begin):
    with hasty.connect() as slow, hasty.client() as client:
        slow.sendall(begin)
        assert client.get("/healthz").status_code == 200
        assert not read_to_end(slow).startswith(b"HTTP/1.1 2")


def test_single_bytes_do_not_extend_the_request_timeout(hasty):
    with hasty.connect() as slow, pytest.raises(OSError):
        slow.sendall(request_bytes()[:-1000])
        for byte in request_bytes()[-1000:]:
            slow.sendall(bytes([byte]))
            time.sleep(0.01)


def test_an_unused_connection_is_closed(hasty):
    with hasty.connect() as silent:
        assert read_to_end(silent) == b""
    with hasty.connect() as served:
        served.sendall(request_bytes())
        assert read_to_end(served).startswith(b"HTTP/1.1 200 ")


def test_blank_lines_do_not_extend_the_keep_alive_timeout(hasty):
    with hasty.connect() as connection:
        connection.sendall(request_bytes())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        read_to_end(connection)


@pytest.fixture
def crowded(authority, tmp_path):
    """A server with a limit of four connections."""
    with serving(authority, tmp_path, max_connections=4) as server:
        yield server


def test_silent_connections_evict_each_other_and_no_established_one(crowded):
    with crowded.connect() as used:
        assert is_answered(used)
        with silent_connections(crowded, 10) as waiting, silent_connections(crowded, 10), crowded.connect() as fresh:
            assert all(is_answered(connection) for connection in (fresh, used, fresh))
            assert all(read_to_end(each) == b"" for each in waiting)


def test_the_longest_idle_established_connection_is_evicted(crowded):
    with contextlib.ExitStack() as stack:
        established = [stack.enter_context(crowded.connect()) for _ in range(4)]
        assert all(is_answered(used) for used in (*established, established[0]))
        stack.enter_context(crowded.connect())
        assert read_to_end(established[1]) == b""
        assert all(is_answered(used) for used in (established[0], established[2], established[3]))


def test_busy_connections_are_not_evicted(authority, tmp_path):
    held = Held()
    with serving(authority, tmp_path, max_connections=2, facts=held) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(2)]
        for connection in busy:
            connection.sendall(request_bytes())
        eventually(lambda: server.webhook.in_flight == 2)
        with silent_connections(server, 3) as refused:
            assert all(read_to_end(each) == b"" for each in refused)
        held.release.set()
        assert all(connection.recv(65536).startswith(b"HTTP/1.1 200 ") for connection in busy)


def test_a_stalled_handshake_times_out(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_SECONDS", 0.3)
    with (
        serving(authority, tmp_path) as server,
        silent_connections(server, 1) as (silent,),
        silent_connections(server, 1) as (begun,),
    ):
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert read_to_end(silent) == read_to_end(begun) == b""
        with server.client() as client:
            assert client.get("/healthz").status_code == 200


def test_incomplete_bodies_are_limited_together(authority, tmp_path, monkeypatch):
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


def test_requests_are_answered_whole_in_pieces_or_pipelined(running):
    with running.connect() as connection:
        whole = request_bytes() + request_bytes() + request_bytes(close=True)
        for start in range(0, len(whole), 700):
            connection.sendall(whole[start : start + 700])
        assert read_to_end(connection).count(b"HTTP/1.1 200 ") == 3


def test_expect_100_continue_gets_a_100_response(running):
    header, body = request_bytes().split(b"\r\n\r\n", 1)
    with running.connect() as connection:
        connection.sendall(header + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_response_is_one_tls_record(running):
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


def test_a_closed_connection_is_freed_without_garbage_collection(running, no_garbage_collection):
    """Collections are rare, and a connection has large TLS buffers: 600 closed connections kept 10 MB."""
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


def test_keep_alive_is_longer_than_the_api_servers_idle_timeout():
    assert server_module.KEEP_ALIVE_TIMEOUT_SECONDS >= 120


# --- Shutdown


class Held(NoCluster):
    """Facts whose lookup takes until `release` is set."""

    def __init__(self):
        self.started, self.release = threading.Event(), threading.Event()

    def cached(self, request, settings):
        return None

    async def lookup(self, request, settings):
        self.started.set()
        while not self.release.is_set():
            await asyncio.sleep(0.01)
        return NO_FACTS


def test_requests_in_flight_are_answered_before_shutdown(authority, tmp_path):
    held = Held()
    with serving(authority, tmp_path, facts=held) as server, server.connect() as connection:
        connection.sendall(request_bytes())
        assert held.started.wait(10)
        server.begin_to_stop()
        time.sleep(0.3)
        held.release.set()
        http_response = read_to_end(connection)
    assert http_response.startswith(b"HTTP/1.1 200 ")
    assert b'"patch"' in http_response


def test_a_request_that_is_arriving_is_answered_before_shutdown(authority, tmp_path):
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


def test_idle_connections_do_not_delay_shutdown(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "FIRST_REQUEST_TIMEOUT_SECONDS", 0.3)
    with serving(authority, tmp_path) as server:
        in_handshake = socket.create_connection((HOST, server.port))
        silent, served = server.connect(), server.connect()
        served.sendall(request_bytes())
        assert served.recv(65536).startswith(b"HTTP/1.1 200 ")
        # No client reads on, so none closes TLS.
        server.stop()
        for connection in (in_handshake, silent, served):
            connection.close()


def test_connections_from_before_shutdown_get_one_response_and_close(authority, tmp_path):
    with serving(authority, tmp_path) as server, contextlib.ExitStack() as stack:
        connected = [stack.enter_context(server.connect()) for _ in range(3)]
        in_handshake = [socket.create_connection((HOST, server.port), timeout=20) for _ in range(3)]
        server.begin_to_stop()
        eventually(lambda: is_refused(server.port))
        for plain in in_handshake:
            connected.append(stack.enter_context(authority.client_context().wrap_socket(plain, server_hostname=HOST)))
        connected[0].sendall(b"GET /healthz HTTP/1.1\r\nhost: webhook\r\n\r\n")
        for connection in connected[1:]:
            connection.sendall(request_bytes())
        for connection in connected:
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def is_refused(port):
    try:
        socket.create_connection((HOST, port), timeout=20).close()
    except ConnectionError:
        return True
    return False


def test_queued_connections_are_accepted_when_the_listener_closes(authority, tmp_path):
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

    def echoed(plain):
        with authority.client_context().wrap_socket(plain, server_hostname=HOST) as client:
            client.sendall(b"hello")
            return client.recv(100)

    async def close_at_once():
        with socket.create_server((HOST, 0)) as listening:
            listening.setblocking(False)
            clients = [socket.create_connection(listening.getsockname(), timeout=20) for _ in range(20)]
            closed = listener.Listener(listening, context, 1000, Echo)
            closed.close()
            responses = asyncio.gather(*(asyncio.to_thread(echoed, client) for client in clients))
            await closed.wait_closed()
            return await responses

    assert asyncio.run(close_at_once()) == [b"HELLO"] * 20


def test_every_response_closes_its_connection_while_draining(authority, tmp_path):
    with serving(authority, tmp_path, drain_seconds=30) as server, server.client() as client:
        assert client.get("/readyz").status_code == 200
        server.begin_to_stop()
        http_response = client.get("/readyz")
        assert http_response.status_code == 503
        assert http_response.text.startswith("draining\n")
        http_response = client.post(MUTATE, json=review(pod(uri="s3://b/m")))
        assert "patch" in response_of(http_response)
        assert http_response.headers["connection"] == "close"
        # The second signal ends the drain.
        server.stop()


def test_the_error_names_an_address_in_use(running):
    with (
        pytest.raises(server_module.CannotListen, match=rf"127.0.0.1, port {running.port}: Address already in use"),
        server_module._listen(HOST, running.port),
    ):
        pass
