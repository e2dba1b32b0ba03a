"""KServe's downloader under the download program: patterns, failures by class, stalls and digests."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_objects import S3, initializer, secret, service_account
from tests.download.pods import unescaped
from tests.initializer import kubelet
from tests.initializer.environment import ENTRYPOINT, initializer_python
from tests.initializer.servers import http_server, s3_environment, s3_server, s3_upload
from tests.mutation import JsonObject, mutated, plain_pod
from webhook import annotations as keys
from webhook.download.command import STOCK_COMMAND

pytestmark = pytest.mark.slow

WEIGHTS = os.urandom(100_000)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    files = {"model.safetensors": WEIGHTS, "model.bin": b"old", "config.json": b"{}"}
    with s3_server() as endpoint:
        s3_upload(endpoint, "models", {f"iris/{name}": content for name, content in files.items()})
        yield endpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "kserve-provision-location"
    folder.mkdir()
    return folder


def run(model: Path, uri: str, env: dict[str, str] | None = None, **annotations: str) -> tuple[int, str, str]:
    """Run the injected container. Returns its exit status, log and termination message."""
    named = {f"{keys.PREFIX}{name.replace('_', '-')}": value for name, value in annotations.items()}
    container: JsonObject = mutated(plain_pod(uri, annotations=named))["spec"]["initContainers"][0]
    log = model.parent / "termination-log"
    words: list[Any] = [str(initializer_python()), *container["command"][1:], unescaped(container["args"][0])]
    for word in container["args"][1:]:
        words += [str(initializer_python()), str(ENTRYPOINT)] if word in STOCK_COMMAND else [word]
    translated = [word.replace("/dev/termination-log", str(log)).replace("/mnt/models", str(model)) for word in words]
    done = subprocess.run(
        translated, env=env or {}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False
    )
    return done.returncode, done.stdout, log.read_text()


def test_patterns_select_files(model: Path, s3: str) -> None:
    held = secret(
        "s3",
        {"awsAccessKeyID": "minio", "awsSecretAccessKey": "minio123"},
        {S3 + "endpoint": s3.removeprefix("http://"), S3 + "usehttps": "0", S3 + "region": "us-east-1"},
    )
    patterns = {str(keys.INCLUDE): "*.safetensors,*.json", str(keys.EXCLUDE): "config*"}
    container = initializer(plain_pod("s3://models/iris", annotations=patterns), service_account("s3"), held)
    done = kubelet.run(container, {model.name: model}, [held])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in model.iterdir()] == ["model.safetensors"]


def test_a_supervised_download_reports_its_result(model: Path, s3: str) -> None:
    status, log, message = run(model, "s3://models/iris", s3_environment(s3), supervise="true")
    assert status == 0, log
    assert json.loads(message)["files"] == 3
    assert "Successfully copied" in log


def test_digest_of_a_download(model: Path, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "model.joblib").write_bytes(WEIGHTS)
    with http_server(tmp_path / "served") as url:
        status, log, message = run(model, f"{url}/model.joblib", sha256=DIGEST)
        assert (status, json.loads(message)["sha256"]) == (0, DIGEST), log
        assert (model / "model.joblib").read_bytes() == WEIGHTS
        status, _, message = run(model, f"{url}/model.joblib", sha256=64 * "0")
    assert status == 1
    assert message.startswith("digest: ")
    assert not model.exists() or not list(model.iterdir())


def test_failures_of_servers_have_their_classes(model: Path, tmp_path: Path, s3: str) -> None:
    (tmp_path / "served").mkdir()
    with http_server(tmp_path / "served", authorization="Bearer hush") as url:
        assert run(model, f"{url}/model.joblib", supervise="true")[2].startswith("credentials: ")
    assert run(model, f"{url}/model.joblib", supervise="true")[2].startswith("network: ")
    with http_server(tmp_path / "served") as url:
        assert run(model, f"{url}/model.joblib", supervise="true")[2].startswith("not-found: ")
    missing = run(model, "s3://models/rose", s3_environment(s3), supervise="true")
    assert missing[2].startswith("not-found: "), missing[1]


@contextmanager
def server_that_stops_sending() -> Iterator[str]:
    """A server that sends a part of a model, and then one byte of nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                connections.append(connection)
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
                connection.sendall(head + bytes(200_000))

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/model.joblib"
        listener.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(("limit", "cause"), [("stall_timeout", "stalled"), ("download_timeout", "timeout")])
def test_a_server_that_stops_sending_ends_the_download(model: Path, limit: str, cause: str) -> None:
    with server_that_stops_sending() as url:
        status, log, message = run(model, url, **{limit: "5s"})
    assert status == 1
    assert message.startswith(f"{cause}: "), log
