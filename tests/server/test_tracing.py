"""Traces: spans of a real server, sent to a real collector (OTLP over HTTP)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.server.test_run import started
from tests.serving import HOST, eventually, pod, review

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
S3CR3T = "hunter2"


class Collector:
    """The requests that an OpenTelemetry collector received."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Any]:
        """The resource attributes of the last request."""
        return values(self.requests[-1].resource_spans[0].resource.attributes)


def values(attributes: Any) -> dict[str, Any]:
    return {attribute.key: value(attribute.value) for attribute in attributes}


def value(given: AnyValue) -> Any:
    if given.WhichOneof("value") == "array_value":
        return [value(each) for each in given.array_value.values]
    return getattr(given, str(given.WhichOneof("value")))


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on the loopback interface."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            made.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    made.url = f"http://{HOST}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def traced():
    """A server that sends traces, and the collector that gets them."""
    with (
        collector() as found,
        started(
            *("--dev", "--traces"),
            OTEL_EXPORTER_OTLP_ENDPOINT=found.url,
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization={S3CR3T}",
            OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        ) as process,
        process.client() as client,
    ):
        yield found, client


def span_of(traced: Any, body: Any, headers: dict[str, str] | None = None) -> Any:
    """The only span of a request."""
    found, client = traced
    before = len(found.spans)
    client.post("/mutate-pods", json=body, headers=headers)
    eventually(lambda: len(found.spans) > before)
    (span,) = found.spans[before:]
    return span


def test_an_admission_makes_a_span(traced):
    span = span_of(traced, review(pod(uri="s3://b/m")))
    assert (span.name, span.kind) == ("POST /mutate-pods", span.SPAN_KIND_SERVER)
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert values(span.attributes) == {
        "storage_webhook.uid": "8a7e-1",
        "k8s.namespace.name": "models",
        "storage_webhook.owner": "iris",
        "storage_webhook.outcome": "injected",
        "storage_webhook.sources": ["s3"],
    }


def test_a_skip_has_its_reason_and_an_invalid_review_has_no_attributes(traced):
    skipped = span_of(traced, review(pod()))
    assert values(skipped.attributes)["storage_webhook.reason"] == "no-uri"
    assert skipped.status.code == skipped.status.STATUS_CODE_UNSET
    assert values(span_of(traced, "no review").attributes) == {}


def test_the_span_continues_the_api_servers_trace(traced):
    span = span_of(traced, review(pod(uri="s3://b/m")), {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span_of(traced, review(pod())).trace_id.hex() != TRACE


def test_a_span_has_no_secrets(traced):
    requesting = pod(uri=f"s3://user:{S3CR3T}@b/m?token={S3CR3T}")
    requesting["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": S3CR3T}]
    denied = pod(uri=f"pvc://{S3CR3T}!")
    for each in (requesting, denied):
        assert S3CR3T not in str(span_of(traced, review(each)))
    assert S3CR3T not in str(traced[0].requests)


def test_the_service_name_has_a_default(traced):
    found, _ = traced
    span_of(traced, review(pod()))
    assert found.resource["service.name"] == "storage-initializer-webhook"
    assert found.resource["deployment.environment"] == "test"
    names = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "OTEL_SERVICE_NAME": "models"}
    with started("--dev", "--traces", **names) as process, process.client() as other:
        other.post("/mutate-pods", json=review(pod()))
        process.terminate()
        assert process.wait() == (0, "")
    assert found.resource["service.name"] == "models", "the last spans are sent before the end"


def test_a_failure_is_an_error_on_the_span(tmp_path):
    unreachable = {
        "clusters": [{"name": "none", "cluster": {"server": f"http://{HOST}:1"}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
        "current-context": "none",
        "users": [{"name": "nobody", "user": {}}],
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(unreachable))
    with collector() as found:
        names = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "KUBECONFIG": str(kubeconfig)}
        with started("--dev", "--traces", "--cluster", **names) as process, process.client() as client:
            client.post("/mutate-pods", json=review(pod(uri="s3://b/m")), timeout=30)
            process.terminate()
            process.wait()
    (span,) = found.spans
    assert values(span.attributes)["storage_webhook.outcome"] == "failed"
    assert span.status.code == span.status.STATUS_CODE_ERROR


def test_a_missing_collector_delays_neither_pods_nor_shutdown():
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with started("--dev", "--traces", **gone) as process, process.client() as client:
        http_response = client.post("/mutate-pods", json=review(pod(uri="s3://b/m"))).json()
        assert "patch" in http_response["response"]
        process.terminate()
        assert process.wait() == (0, "")


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace", "opentelemetry.exporter"])
def test_without_the_extra_the_error_says_how_to_install_it(missing):
    without = f"import sys; sys.modules[{missing!r}] = None; from webhook.__main__ import main; main()"
    command = [sys.executable, "-c", without, "serve", "--dev", "--port", "0", "--traces"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    (line,) = run.stderr.strip().splitlines()
    assert "traces need the extra otel" in line
    assert "pip install '.[otel]'" in line
    assert "requirements-otel.lock" in line


def test_without_the_option_opentelemetry_is_not_imported():
    program = (
        "import json, sys; from webhook.server import run; "
        "print(json.dumps([m for m in sys.modules if 'opentelemetry.sdk' in m]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
