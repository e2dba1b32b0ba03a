"""Which connection is evicted when too many are open: the rule by itself, and on real sockets."""

import contextlib
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.wire import is_answered, read_to_end, request_bytes, silent_connections
from tests.serving import HOST, Running, eventually, pod, serving
from webhook.server import connection
from webhook.server.open_connections import OpenConnections

LIMIT = 8
SHARE = 2


class Client:
    """An open connection."""

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy

    def is_busy(self) -> bool:
        return self.busy


class Clients:
    """Connections that come and go under a limit, as the listener handles them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.open: OpenConnections[Client] = OpenConnections(limit)

    def connect(self, *, busy: bool = False, answered: bool = False) -> Client:
        client = Client(busy=busy)
        if not self.open.is_full or self._evict():
            self.open.add(client)
            if answered:
                self.open.on_response(client)
        return client

    def _evict(self) -> bool:
        evicted = self.open.next_to_evict()
        if evicted is not None:
            self.open.remove(evicted)
        return evicted is not None


def test_silent_connections_never_evict_established_ones_within_their_share():
    clients = Clients()
    established = [clients.connect(answered=True) for _ in range(LIMIT - SHARE)]
    for _ in range(100):
        clients.connect()
    assert all(client in clients.open for client in established)


def test_a_new_connection_survives_as_many_others_as_its_share_allows():
    clients = Clients()
    for _ in range(LIMIT):
        clients.connect(answered=True)
    fresh = clients.connect()
    for _ in range(SHARE - 1):
        clients.connect()
    assert fresh in clients.open
    clients.connect()
    assert fresh not in clients.open


def test_established_connections_that_are_used_survive_a_flood_of_both_kinds():
    clients = Clients()
    used = [clients.connect(answered=True) for _ in range(3)]
    for _ in range(100):
        clients.connect(answered=True)
        clients.connect()
        for client in used:
            clients.open.on_response(client)
    assert all(client in clients.open for client in used)


def test_when_all_new_connections_are_busy_an_idle_established_one_is_evicted():
    clients = Clients()
    established = [clients.connect(answered=True) for _ in range(LIMIT - SHARE)]
    busy = [clients.connect(busy=True) for _ in range(SHARE)]
    fresh = clients.connect()
    assert fresh in clients.open
    assert all(client in clients.open for client in (*busy, *established[1:]))


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_small_limits_leave_room_for_a_new_connection(limit):
    clients = Clients(limit)
    for _ in range(limit):
        clients.connect(answered=True)
    assert clients.connect() in clients.open


ARRIVALS = st.sampled_from(["silent", "answered", "busy", "use", "close"])


@given(st.integers(1, 12), st.lists(st.tuples(ARRIVALS, st.integers(0, 20)), max_size=60))
def test_the_limit_holds_and_only_busy_connections_refuse_a_new_one(limit, arrivals):
    clients = Clients(limit)
    known: list[Client] = []
    for arrival, index in arrivals:
        chosen = known[index % len(known)] if known else None
        if arrival == "use" and chosen in clients.open:
            clients.open.on_response(chosen)
        elif arrival == "close" and chosen is not None:
            clients.open.remove(chosen)
        elif arrival in ("silent", "answered", "busy"):
            full_of_busy = clients.open.is_full and clients.open.next_to_evict() is None
            known.append(clients.connect(busy=arrival == "busy", answered=arrival == "answered"))
            assert (known[-1] in clients.open) != full_of_busy
        present = [client for client in known if client in clients.open]
        assert len(present) == len(clients.open) <= limit
        if clients.open.is_full and clients.open.next_to_evict() is None:
            assert all(client.busy for client in present)


# --- On real sockets


@pytest.fixture
def crowded(authority, tmp_path):
    """A server with a limit of eight connections, two of them for new ones."""
    with serving(authority, tmp_path, max_connections=LIMIT) as server:
        yield server


GET_HEALTH = b"GET /healthz HTTP/1.1\r\nhost: webhook\r\n\r\n"


def fill(server: Running, stack: contextlib.ExitStack):
    """As many connections as the limit allows, each with one response."""
    established = [stack.enter_context(server.connect()) for _ in range(LIMIT)]
    assert all(is_answered(connection, GET_HEALTH) for connection in established)
    return established


def test_fresh_connections_are_answered_beside_idle_ones_and_silent_ones(crowded):
    with contextlib.ExitStack() as stack:
        fill(crowded, stack)
        for _ in range(20):
            fresh = stack.enter_context(crowded.connect())
            stack.enter_context(silent_connections(crowded, SHARE - 1))
            assert is_answered(fresh)


def test_the_longest_idle_connection_makes_room_for_a_fresh_one(crowded):
    with contextlib.ExitStack() as stack:
        established = fill(crowded, stack)
        assert is_answered(established[0])
        stack.enter_context(crowded.connect())
        assert read_to_end(established[1]) == b""
        assert all(is_answered(connection) for connection in (established[0], *established[2:]))


def test_a_connection_in_use_outlives_a_flood_of_silent_ones(crowded):
    with crowded.connect() as used:
        assert is_answered(used)
        for _ in range(5):
            with silent_connections(crowded, 2 * LIMIT), crowded.connect() as fresh:
                assert is_answered(used)
                assert is_answered(fresh)


def pod_with_many_mounts():
    uris = [{"uri": f"pvc://claim-{number}/models", "mountPath": f"/mnt/{number}"} for number in range(16)]
    names = [f"server-{number}" for number in range(16)]
    large = pod(uris=json.dumps(uris), containers=",".join(names))
    (container,) = large["spec"]["containers"]
    large["spec"]["containers"] = [{**container, "name": name} for name in names]
    return large


def fill_without_reading(server: Running, stack: contextlib.ExitStack) -> socket.socket:
    """Send requests one by one, and read no response, until the server cannot write the next one."""
    plain = stack.enter_context(socket.socket())
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((HOST, server.port))
    large_response = request_bytes(pod_with_many_mounts())
    client = stack.enter_context(server.authority.client_context().wrap_socket(plain, server_hostname=HOST))
    with contextlib.suppress(AssertionError):
        while True:
            written = server.responses
            client.sendall(large_response)
            eventually(lambda: server.responses > written, seconds=0.5)  # noqa: B023
    return client


def test_a_client_that_reads_no_response_keeps_no_place(authority, tmp_path):
    """Its request waits until the server can write: it is not work in progress."""
    with serving(authority, tmp_path, max_connections=1) as server, contextlib.ExitStack() as stack:
        fill_without_reading(server, stack)
        eventually(lambda: server.webhook.in_flight == 1)
        eventually(lambda: fresh_is_answered(server))
        assert server.webhook.in_flight == 0


def fresh_is_answered(server: Running) -> bool:
    try:
        with server.connect() as fresh:
            return is_answered(fresh)
    except OSError:
        return False


def test_a_client_that_reads_no_response_is_cut_off(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "WRITE_TIMEOUT_SECONDS", 0.3)
    with serving(authority, tmp_path) as server, contextlib.ExitStack() as stack:
        client = fill_without_reading(server, stack)
        eventually(lambda: server.webhook.in_flight == 0)
        sent = server.responses
        received = read_to_end(client)
        assert received.count(b"HTTP/1.1 200 ") < sent
