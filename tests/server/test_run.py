"""The server as a process: options, log, signals and exit codes."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from tests.serving import HOST, eventually, pod, response_of, review


class Process:
    """`storage-webhook serve` and the lines of its log."""

    main = ("-m", "webhook")

    def __init__(self, *options, **env):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_WEBHOOK_")}
        self._process = subprocess.Popen(
            [sys.executable, *self.main, "serve", "--log-format", "json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "STORAGE_WEBHOOK_PORT": "0", **env},
        )
        self.url = self.next("serving")["address"]
        self.port = int(self.url.rpartition(":")[2])

    def next(self, event):
        """The next log line of this event."""
        for line in self._process.stdout:
            if json.loads(line)["event"] == event:
                return json.loads(line)
        raise AssertionError(f"no {event} in the log; standard error: {self._process.stderr.read()}")

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)
        self.next("stopping")

    def wait(self):
        """The exit code and the standard error."""
        _, errors = self._process.communicate(timeout=20)
        return self._process.returncode, errors

    def kill(self):
        self._process.kill()
        self._process.communicate()

    def client(self):
        return httpx.Client(base_url=self.url, verify=False)

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection((HOST, self.port), timeout=20))


@contextlib.contextmanager
def started(*options, **env):
    process = Process(*options, **env)
    try:
        yield process
    finally:
        process.kill()


def test_sigterm_answers_all_requests_and_closes_idle_connections():
    body = json.dumps(review(pod(uri="s3://b/m"))).encode()
    head = b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with started("--dev") as process, process.connect() as silent, process.connect() as in_flight:
        in_flight.sendall(head % len(body) + body[:-1])
        with process.client() as client:
            assert client.get("/healthz").status_code == 200
            process.terminate()
            # The last byte arrives after the server has begun to close its connections.
            _wait_until_refused(process)
            in_flight.sendall(body[-1:])
            http_response = b""
            while chunk := in_flight.recv(65536):
                http_response += chunk
        assert http_response.startswith(b"HTTP/1.1 200 ")
        assert b'"patch"' in http_response
        assert process.wait() == (0, "")
        silent.close()


def _wait_until_refused(process):
    with contextlib.suppress(OSError):
        while True:
            process.connect().close()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def metrics_port():
    with socket.create_server((HOST, 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def process(metrics_port):
    """A development server with metrics."""
    with started("--metrics-port", str(metrics_port), STORAGE_WEBHOOK_DEV="1") as process:
        yield process


@pytest.fixture(scope="module")
def client(process):
    with process.client() as client:
        yield client


def admit(client, of, **request):
    return response_of(client.post("/mutate-pods", json=review(of, **request)))


def test_each_admission_logs_one_line(process, client):
    requesting = pod(uri="s3://b/m")
    requesting["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "iris-7c9d8b6f5"}]
    admit(client, requesting)
    line = process.next("admission")
    assert line.pop("milliseconds") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "admission",
        "level": "info",
        "uid": "8a7e-1",
        "namespace": "models",
        "owner": "ReplicaSet/iris-7c9d8b6f5",
        "outcome": "injected",
        "sources": ["s3"],
        "containers": ["server"],
    }
    admit(client, pod(uri="pvc://"), dryRun=True)
    line = process.next("admission")
    assert (line["outcome"], line["dry_run"]) == ("denied", True)
    assert "does not name a claim" in line["message"]


def test_a_cached_response_logs_the_same_line(process, client):
    requesting = pod(uri="pvc://claim/iris")
    requesting["metadata"]["generateName"] = requesting["metadata"].pop("name")
    lines = []
    for uid in ("11111111-2222-4333-8444-555555555555", "042c6b3a-248b-57a9-9d0e-e21970641cd2") * 2:
        response = admit(client, requesting, uid=uid)
        line = process.next("admission")
        assert line["uid"] == response["uid"] == uid
        lines.append({key: value for key, value in line.items() if key not in ("uid", "timestamp", "milliseconds")})
    new, known = lines[0], lines[-1]
    assert known == {**new, "cached": True}
    assert lines == [new, new, known, known]


def test_development_listens_on_loopback_only_with_a_page(process, client):
    assert process.url.startswith("https://127.0.0.1:")
    assert "storage-initializer-webhook" in client.get("/").text


def test_a_production_server_imports_nothing_of_the_page_and_nothing_for_terminals(authority, tmp_path):
    certificate, key = authority.issue(tmp_path)
    unused = "(m for m in sys.modules if 'playground' in m or m.partition('.')[0] in ('rich', 'IPython'))"
    report = f"import atexit, sys; atexit.register(lambda: print(*{unused}));"
    command = [sys.executable, "-c", f"{report} from webhook.__main__ import main; main()", "serve", "--port", "0"]
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--log-format", "json"]
    for options, imported in (["--host", HOST], []), (["--dev"], ["webhook.playground"]):
        with subprocess.Popen([*command, *files, *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "serving"
            process.terminate()
            modules = process.stdout.read().splitlines()[-1].split()
        assert modules[:1] == imported


def test_metrics_have_a_separate_port(client, metrics_port):
    def count(sources):
        metrics = httpx.get(f"http://{HOST}:{metrics_port}/metrics").text
        label = f'storage_webhook_admissions_total{{outcome="injected",reason="",sources="{sources}"}} '
        return sum(float(line.removeprefix(label)) for line in metrics.splitlines() if line.startswith(label))

    assert client.get("/metrics").status_code == 404
    before = count("hf")
    admit(client, pod(uri="hf://a/b"))
    assert count("hf") == before + 1
    # Pod authors choose the combinations, so all of them share one label.
    for schemes in (("s3", "gs"), ("gs", "s3"), ("hf", "s3", "pvc")):
        uris = [{"uri": f"{scheme}://a/b", "mountPath": f"/mnt/{scheme}"} for scheme in schemes]
        assert admit(client, pod(uris=json.dumps(uris)))["allowed"]
    assert count("several") == 3


def test_an_explicit_option_overrides_the_development_default(authority, tmp_path):
    certificate, key = authority.issue(tmp_path)
    options = ["--dev", "--host", "127.0.0.2", "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with started(*options) as process:
        assert process.url.startswith("https://127.0.0.2:")
        http_response = httpx.get(f"https://127.0.0.2:{process.port}/healthz", verify=False)
        assert http_response.status_code == 200


def test_the_expiry_of_certificate_files_is_a_metric(authority, tmp_path):
    certificate, key = authority.issue(tmp_path, not_after=datetime(2099, 1, 1, tzinfo=UTC))
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    options = ["--dev", "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--metrics-port", str(port)]
    with started(*options, "--metrics-tls"):
        metrics = httpx.get(f"https://{HOST}:{port}/metrics", verify=authority.client_context()).text
    (end,) = re.findall(r"^storage_webhook_certificate_expiry_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
    assert datetime.fromtimestamp(float(end), UTC).year == 2099


def test_changes_of_a_settings_file_take_effect(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("storageInitializer: {image: one}")
    with started("--dev", "--settings", f"file:{settings}") as process, process.client() as client:
        assert b"one" in _patch(client)
        settings.write_text("storageInitializer: {image: two}")
        eventually(lambda: b"two" in _patch(client))
        settings.write_text("storageInitializer: {cpuLimit: lots}")
        eventually(lambda: "rejected" in client.get("/readyz").text)
        assert b"two" in _patch(client)


def _patch(client):
    return json.dumps(admit(client, pod(uri="s3://b/m"))["patch"]).encode()


def test_sigint_stops_the_server():
    with started("--dev") as process:
        process._process.send_signal(signal.SIGINT)
        assert process.wait() == (0, "")


@pytest.mark.parametrize("options", [["--metrics-port", "{}"], ["--port", "{}"]])
def test_the_error_names_a_port_in_use(options):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        finished = subprocess.run(
            [sys.executable, "-m", "webhook", "serve", "--dev", *(option.format(port) for option in options)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "STORAGE_WEBHOOK_PORT": "0"},
        )
    assert finished.returncode == 2
    assert f"port {port}" in finished.stderr
    assert "Address already in use" in finished.stderr


# The Kubernetes client calls pydantic, so threads are inside pydantic whenever the API server is slow.
BUSY = """
import threading, time
from pydantic import validate_call
from webhook.__main__ import main

@validate_call
def busy(seconds: float):
    while True:
        time.sleep(seconds)

threading.Thread(target=busy, args=(0.001,), daemon=True).start()
main()
"""


def test_busy_threads_do_not_change_the_exit_code(monkeypatch):
    monkeypatch.setattr(Process, "main", ("-c", BUSY))
    with started("--dev") as process:
        process.terminate()
        assert process.wait() == (0, "")


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{client-key-data: {key}, client-certificate-data: {key}}}}}]
current-context: c
"""


def test_temporary_files_of_a_kubeconfig_are_deleted(tmp_path):
    """The Kubernetes client writes the keys in a kubeconfig to temporary files."""
    temporary, kubeconfig = tmp_path / "temporary", tmp_path / "kubeconfig"
    temporary.mkdir()
    key = base64.b64encode(b"a private key").decode()
    kubeconfig.write_text(KUBECONFIG.format(key=key))
    with started("--dev", "--cluster", KUBECONFIG=str(kubeconfig), TMPDIR=str(temporary)) as process:
        assert any(path.read_bytes() == b"a private key" for path in temporary.iterdir())
        process.terminate()
        assert process.wait()[0] == 0
    assert list(temporary.iterdir()) == []


BROKEN = """
import webhook.server.run
from webhook.__main__ import main

webhook.server.run.create_app = lambda *_, **__: 1 / 0
main()
"""


UNREACHABLE = ("--certificate-secret", "models/certificates", "--certificate-names", "webhook.models.svc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_certificate_ends_the_process(tmp_path, number):
    """The first process of a container ignores signals without a handler: it would be killed after the grace period."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(key=base64.b64encode(b"a private key").decode()))
    command = [sys.executable, "-m", "webhook", "serve", "--port", "0", "--log-format", "json", *UNREACHABLE]
    with subprocess.Popen(
        [*command, "--webhook-configurations", "webhook"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    ) as process:
        assert process.stdout is not None
        assert "certificates: " in process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "stopped before serving" in rest


def test_an_unexpected_error_is_logged_and_ends_the_process():
    command = [sys.executable, "-c", BROKEN, "serve", "--dev", "--log-format", "json", "--port", "0"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 1
    (line,) = [json.loads(line) for line in finished.stdout.splitlines() if "the server failed" in line]
    assert "ZeroDivisionError" in line["exception"]


def test_busy_threads_do_not_change_the_exit_code_of_a_failed_start():
    with socket.create_server((HOST, 0)) as taken:
        command = [sys.executable, "-c", BUSY, "serve", "--dev", "--port", str(taken.getsockname()[1])]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (finished.returncode, "Address already in use" in finished.stderr) == (2, True)
