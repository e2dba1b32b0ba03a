"""Local HTTP and S3 servers with models."""

import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.initializer.environment import HERE, initializer_python


@contextmanager
def http_server(folder: Path, authorization: str = "") -> Iterator[str]:
    """Serve a folder, optionally only with this Authorization header. Yields the base URL."""
    handler = partial(_Handler, authorization, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, authorization: str, *args: Any, **options: Any) -> None:
        self._authorization = authorization
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        if self._authorization and self.headers["Authorization"] != self._authorization:
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def s3_server() -> AbstractContextManager[str]:
    """Run an S3 server. Yields its endpoint URL."""
    return aws_server("s3")


@contextmanager
def aws_server(service: str, host: str = "127.0.0.1") -> Iterator[str]:
    """Run a server of one AWS service, such as `s3` or `sts`. Yields its endpoint URL."""
    with subprocess.Popen(
        [initializer_python(), HERE / "aws.py", service, host],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        assert server.stdout
        assert server.stdin
        port = int(server.stdout.readline())
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stdin.close()


def s3_environment(endpoint: str) -> dict[str, str]:
    """The variables that the webhook would set for this server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "minio",
        "AWS_SECRET_ACCESS_KEY": "minio123",
        "AWS_DEFAULT_REGION": "us-east-1",
        "S3_USE_HTTPS": "0",
    }


def s3_upload(endpoint: str, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Create a bucket with these objects, by key."""
    for path, content in {"": b"", **objects}.items():
        request = urllib.request.Request(f"{endpoint}/{bucket}/{path}", data=content, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        urllib.request.urlopen(request, timeout=30).close()
