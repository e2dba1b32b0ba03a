"""Other webhooks that are called for the same pods: real HTTPS servers, registered for one namespace."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonpatch

from tests.e2e.api import Api, Object, eventually
from tests.mutation import a_pod
from tests.serving import HOST, Authority
from webhook.certificates import tls

Change = Callable[[Object], None]
"""A function that changes a pod in place."""


@contextmanager
def other_webhook(
    api: Api, authority: Authority, directory: Path, *, name: str, namespace: str, change: Change
) -> Iterator[list[Object]]:
    """Run a webhook for the pods of a namespace. `name` is the name of its configuration and decides the order.

    Yields the list of the AdmissionReviews that it received, oldest first.
    """
    reviews: list[Object] = []
    with _served(authority, directory, change, reviews) as url:
        configuration = _configuration(name, namespace, url, authority)
        api.apply(configuration).raise_for_status()
        try:
            eventually(lambda: bool(api.create_pod(namespace, a_pod(), dryRun="All")) and bool(reviews))
            reviews.clear()
            yield reviews
        finally:
            api.delete(configuration)


def _configuration(name: str, namespace: str, url: str, authority: Authority) -> Object:
    webhook = {
        "name": "pods.example.com",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority.pem).decode()},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }


@contextmanager
def _served(authority: Authority, directory: Path, change: Change, reviews: list[Object]) -> Iterator[str]:
    context = tls.server_context(None)
    context.load_cert_chain(*authority.issue(directory))
    server = _Server((HOST, 0), _handler(change, reviews))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # do not wait for open connections on shutdown


def _handler(change: Change, reviews: list[Object]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the API server reuses connections
        timeout = 5

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reviews.append(review)
            body = json.dumps(_respond(review, change)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Do not log requests."""

    return Handler


def _respond(review: Object, change: Change) -> Object:
    request = review["request"]
    changed = json.loads(json.dumps(request["object"]))
    change(changed)
    patch = jsonpatch.make_patch(request["object"], changed).to_string()
    response = {
        "uid": request["uid"],
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(patch.encode()).decode(),
    }
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
