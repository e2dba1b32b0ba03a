"""Servers with models, at the node's address, where pods can reach them."""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests.node.network import NODE_IP

RELEASED_WITHIN = 240.0
"""Seconds after which a held response goes on by itself, so that a failed test leaves no pod waiting."""


@dataclass(eq=False)
class Web:
    """A web server. Tests change its files and read its log while it runs."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path. `/path?key=value` is only for requests for the path with this parameter, whatever else they have."""
    authorization: dict[str, str] = field(default_factory=dict)
    """The Authorization header that a path needs."""
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Headers of the responses for a path. `Location` makes them a redirect."""
    held: dict[str, "Hold"] = field(default_factory=dict)
    """Paths whose responses stop in the middle."""
    log: list[str] = field(default_factory=list)
    """The paths of all GET requests."""

    def name_of(self, requested: str) -> str:
        """The path in `files` that has the most of the request's parameters; "" if there is none."""
        path, given = urlsplit(requested).path, _parameters(requested)
        names = [name for name in list(self.files) if urlsplit(name).path == path and _parameters(name) <= given]
        return max(names, key=lambda name: len(_parameters(name)), default="")

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Serve the files below `name`. Returns their common URL."""
        self.files |= {f"/{name}/{path}": content for path, content in files.items()}
        return f"{self.url}/{name}"

    @contextmanager
    def holding(self, path: str) -> Iterator["Hold"]:
        """Stop responses for this path in the middle, until they are released or the block ends."""
        hold = self.held[path] = Hold()
        try:
            yield hold
        finally:
            del self.held[path]
            hold.release.set()


def _parameters(name: str) -> set[tuple[str, str]]:
    """The parameters after a path, with their values."""
    return set(parse_qsl(urlsplit(name).query))


@dataclass(frozen=True)
class Hold:
    """`started` is set when half of a response was sent, and `release` lets all responses go on."""

    started: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, web: Web, *arguments: Any) -> None:
        self._web = web
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self._respond(body=False)

    def do_GET(self) -> None:
        self._web.log.append(self.path)
        self._respond(body=True)

    def do_POST(self) -> None:
        self.send_error(404)

    def _respond(self, *, body: bool) -> None:
        path = self._web.name_of(self.path)
        if not path:
            self.send_error(404)
            return
        content, added = self._web.files[path], self._web.headers.get(path, {})
        if self.headers["Authorization"] != self._web.authorization.get(path, self.headers["Authorization"]):
            self.send_error(401)
            return
        self.send_response(307 if "Location" in added else 200)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(content))}
        for name, value in {**headers, **added}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self._send(path, content)

    def _send(self, path: str, content: bytes) -> None:
        half = len(content) // 2
        self.wfile.write(content[:half])
        self.wfile.flush()
        if hold := self._web.held.get(path):
            hold.started.set()
            hold.release.wait(RELEASED_WITHIN)
        self.wfile.write(content[half:])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Web]:
    """Run a web server without files; on a free port if none is given."""
    web = Web()
    with _serving(partial(_Handler, web), tls, port) as authority:
        web.url = f"{'https' if tls else 'http'}://{authority}"
        yield web


@contextmanager
def _serving(handler: Any, tls: ssl.SSLContext | None, port: int) -> Iterator[str]:
    """Run a server in a thread. Yields its host and port."""
    with ThreadingHTTPServer((NODE_IP, port), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that were killed
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"{NODE_IP}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


SIZE = 3 * 2**20
"""The bytes of each file of the server that fails."""


class _FailingHandler(BaseHTTPRequestHandler):
    """Serves `/whole.bin`; `/part.bin` stops in the middle; the other paths are failures."""

    def do_GET(self) -> None:
        status = {"/whole.bin": 200, "/part.bin": 200, "/secret.bin": 401, "/broken.bin": 503}.get(self.path, 404)
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        if status == 200:
            self.wfile.write(bytes(SIZE if self.path == "/whole.bin" else SIZE // 2))
            self.wfile.flush()
        if self.path == "/part.bin":
            self.server.closing.wait()  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def failing_web_server() -> Iterator[str]:
    """Run a server of which only `/whole.bin` can be downloaded. Yields its URL."""
    with ThreadingHTTPServer((NODE_IP, 0), _FailingHandler) as server:
        server.closing = threading.Event()  # type: ignore[attr-defined]
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that were killed
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{NODE_IP}:{server.server_port}"
        finally:
            server.closing.set()  # type: ignore[attr-defined]
            server.shutdown()
            thread.join()


def put_objects(web: Web, bucket: str, files: Mapping[str, bytes]) -> None:
    """Serve a bucket of Google Cloud Storage: https://cloud.google.com/storage/docs/json_api/v1/objects"""
    items = [{"kind": "storage#object", "name": name, "bucket": bucket, "generation": "1"} for name in files]
    for item in items:
        path = f"/download/storage/v1/b/{bucket}/o/{quote(item['name'], safe='')}"
        item["mediaLink"] = f"{web.url}{path}?alt=media"
        web.files[path] = files[item["name"]]
    web.files[f"/storage/v1/b/{bucket}/o"] = json.dumps({"kind": "storage#objects", "items": items}).encode()


def put_blobs(web: Web, container: str, files: Mapping[str, bytes]) -> None:
    """Serve a container of Azure Blob Storage: https://learn.microsoft.com/rest/api/storageservices/list-blobs"""
    blobs = ""
    for name, content in files.items():
        properties = f"<BlobType>BlockBlob</BlobType><Content-Length>{len(content)}</Content-Length>"
        blobs += f"<Blob><Name>{name}</Name><Properties>{properties}</Properties></Blob>"
        web.files[f"/{container}/{name}"] = content
        whole = f"bytes 0-{len(content) - 1}/{len(content)}"
        web.headers[f"/{container}/{name}"] = {"Content-Range": whole, "ETag": '"1"'}
    listed = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
    web.files[f"/{container}"] = listed.encode()
    web.headers[f"/{container}"] = {"Content-Type": "application/xml"}


def put_snapshot(web: Web, repository: str, files: Mapping[str, bytes]) -> list[str]:
    """Serve a repository as https://huggingface.co/docs/hub/api says. Returns the paths of its files."""
    paths = []
    commit = "0" * 40
    siblings = [{"rfilename": path} for path in files]
    described = {"id": repository, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
    tree = [{"type": "file", "path": path, "size": len(content), "oid": commit} for path, content in files.items()]
    web.files[f"/api/models/{repository}/revision/main"] = json.dumps(described).encode()
    web.files[f"/api/models/{repository}/tree/{commit}"] = json.dumps(tree).encode()
    for path, content in files.items():
        resolved = f"/{repository}/resolve/{commit}/{path}"
        web.files[resolved] = content
        paths.append(resolved)
        web.headers[resolved] = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
    return paths


def put_modelscope(web: Web, repository: str, files: Mapping[str, bytes]) -> list[str]:
    """Serve a repository of ModelScope. Returns the paths of the list and of the files.

    It is what ModelScope's client asks for: https://github.com/modelscope/modelscope/blob/master/modelscope/hub/api.py
    """
    path = f"/api/v1/models/{repository}/repo"
    listed = [
        {"Path": name, "Type": "blob", "Size": len(content), "Sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    stored = {f"{path}?{urlencode({'FilePath': name})}": content for name, content in files.items()}
    stored[f"{path}/files"] = json.dumps({"Code": 200, "Data": {"Files": listed}}).encode()
    web.files |= stored
    return list(stored)


def put_hdfs(web: Web, files: Mapping[str, bytes], user: str) -> None:
    """Serve files of HDFS, by absolute path, to clients that act for the user. This server is name node and data node.

    https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html
    """
    found: dict[PurePosixPath, bytes | None] = {PurePosixPath(path): content for path, content in files.items()}
    found |= {parent: None for path in list(found) for parent in path.parents}
    for path, content in found.items():
        named = f"/webhdfs/v1{path}?doas={user}&op="
        web.files[f"{named}GETFILESTATUS"] = json.dumps({"FileStatus": _status("", content)}).encode()
        if content is None:
            listed = [_status(each.name, found[each]) for each in found if each.parent == path != each]
            web.files[f"{named}LISTSTATUS"] = json.dumps({"FileStatuses": {"FileStatus": listed}}).encode()
        else:
            stored = f"/webhdfs/v1{path}?op=OPEN&namenoderpcaddress=namenode:8020"
            web.files |= {f"{named}OPEN": b"", stored: content}
            web.headers[f"{named}OPEN"] = {"Location": f"{web.url}{stored}"}


def _status(name: str, content: bytes | None) -> dict[str, str | int]:
    """What the name node says of a file, or of a directory, which has no content."""
    return {"pathSuffix": name, "type": "DIRECTORY" if content is None else "FILE", "length": len(content or b"")}
