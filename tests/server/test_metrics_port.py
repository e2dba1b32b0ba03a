"""The metrics port: plain HTTP from the server's event loop, bounded in connections and time."""

import contextlib
import gzip
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.wire import is_answered, read_to_end
from tests.serving import HOST, eventually, free_port, serving
from webhook.server import connection, listener
from webhook.server import server as server_module

GET = b"GET /metrics HTTP/1.1\r\nhost: webhook\r\n\r\n"


@pytest.fixture(scope="module")
def metrics_port():
    return free_port()


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory, metrics_port):
    with serving(authority, tmp_path_factory.mktemp("metrics"), metrics_port=metrics_port) as server:
        yield server


@pytest.fixture
def metrics(server, metrics_port):
    with httpx.Client(base_url=f"http://{HOST}:{metrics_port}", timeout=20) as client:
        yield client


@contextlib.contextmanager
def connections(port, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((HOST, port), timeout=20)) for _ in range(count)]


def families(response):
    return {family.name for family in text_string_to_metric_families(response.text)}


def test_the_default_format_is_prometheus_text(metrics):
    response = metrics.get("/metrics", headers={"accept-encoding": ""})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in response.headers
    assert "storage_webhook_admissions" in families(response)


def test_the_client_chooses_openmetrics_and_gzip(metrics):
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    with metrics.stream("GET", "/metrics", headers={"accept": accept, "accept-encoding": "gzip"}) as response:
        body = gzip.decompress(b"".join(response.iter_raw()))
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/openmetrics-text;version=x",
        "text/plain;version=;escaping=?",
        "text/plain;version=1.0.0",
        ",",
    ],
)
def test_any_accept_header_gets_metrics(metrics, accept):
    response = metrics.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert b"storage_webhook_admissions" in response.content


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)])
def test_other_requests_get_an_http_error(metrics, method, path, status):
    response = metrics.request(method, path, content=b"{}" if method == "POST" else None)
    assert response.status_code == status
    assert len(response.text.splitlines()) == 1


def test_a_connection_serves_many_scrapes(metrics_port, server):
    with connections(metrics_port, 1) as (scraper,):
        assert all(is_answered(scraper, GET) for _ in range(3))


def test_the_admission_routes_are_not_on_the_metrics_port(metrics):
    assert metrics.get("/healthz").status_code == 404
    assert metrics.post("/mutate-pods", json={}).status_code == 404


def test_idle_connections_are_bounded_and_start_no_threads(metrics_port, server, metrics):
    before = threading.active_count()
    with connections(metrics_port, 1) as (scraper,):
        assert is_answered(scraper, GET)
        with connections(metrics_port, 5 * server_module.MAX_METRICS_CONNECTIONS) as idle:
            assert metrics.get("/metrics").status_code == 200
            assert threading.active_count() == before
            assert all(read_to_end(each) == b"" for each in idle[: -server_module.MAX_METRICS_CONNECTIONS])
            assert is_answered(scraper, GET)
        with server.client() as client:
            assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("begin", [b"", b"GET /metrics HTTP/1.1\r\nA: b"])
def test_slow_clients_are_cut_off(authority, tmp_path, monkeypatch, begin):
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "KEEP_ALIVE_TIMEOUT_SECONDS", 0.3)
    port = free_port()
    with serving(authority, tmp_path, metrics_port=port), connections(port, 1) as (slow,):
        slow.sendall(begin)
        assert read_to_end(slow) == b""


def test_the_metrics_port_closes_with_the_server(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "FIRST_REQUEST_TIMEOUT_SECONDS", 0.3)
    port = free_port()
    with serving(authority, tmp_path, metrics_port=port) as server, connections(port, 2) as (scraper, _idle):
        assert is_answered(scraper, GET)
        server.stop()
        assert read_to_end(scraper) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))


def test_metrics_are_served_while_draining(authority, tmp_path):
    port = free_port()
    with serving(authority, tmp_path, metrics_port=port, drain_seconds=60) as server:
        server.begin_to_stop()
        eventually(lambda: server.webhook.draining)
        assert "storage_webhook_admissions" in families(httpx.get(f"http://{HOST}:{port}/metrics"))
        server.stop()


DESCRIPTORS = 150
LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
from webhook.__main__ import main
main()
"""


def test_a_flood_of_either_port_leaves_the_other_its_descriptors():
    """The limits of both ports together stay below the limit of file descriptors."""
    port, metrics_port = free_port(), free_port()
    options = ["serve", "--dev", "--port", str(port), "--metrics-port", str(metrics_port), "--log-format", "json"]
    with subprocess.Popen([sys.executable, "-c", LIMITED, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            eventually(lambda: '"serving"' in process.stdout.readline())
            with connections(metrics_port, 2 * DESCRIPTORS), httpx.Client(verify=False) as client:
                assert client.get(f"https://{HOST}:{port}/healthz").status_code == 200
            with connections(port, 2 * DESCRIPTORS), httpx.Client() as client:
                assert client.get(f"http://{HOST}:{metrics_port}/metrics").status_code == 200
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=60)
    assert "cannot accept connections" not in rest


def test_metrics_over_tls_have_the_certificate_of_the_webhook(authority, tmp_path):
    port = free_port()
    with serving(authority, tmp_path, metrics_port=port, metrics_tls=True):
        response = httpx.get(f"https://{HOST}:{port}/metrics", verify=authority.client_context())
        assert "storage_webhook_admissions" in families(response)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{HOST}:{port}/metrics")


def test_metrics_over_tls_need_no_client_certificate(authority, tmp_path):
    port, client_ca = free_port(), tmp_path / "client-ca.crt"
    client_ca.write_bytes(authority.pem)
    with serving(authority, tmp_path, client_ca=client_ca, metrics_port=port, metrics_tls=True):
        assert httpx.get(f"https://{HOST}:{port}/metrics", verify=authority.client_context()).is_success
