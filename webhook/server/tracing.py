"""OpenTelemetry traces of admissions (extra `otel`).

Configured by the standard variables of OpenTelemetry, such as OTEL_EXPORTER_OTLP_ENDPOINT. A span continues the
API server's own trace when that sends one (Kubernetes: APIServerTracing).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Endpoint = Callable[[Scope, Any, Any], Awaitable[None]]

# Log fields as span attributes, with the names of OpenTelemetry's conventions where there are any. Messages stay in the
# log: they quote what pods' authors wrote.
_ATTRIBUTES = {
    "uid": "storage_webhook.uid",
    "namespace": "k8s.namespace.name",
    "owner": "storage_webhook.owner",
    "outcome": "storage_webhook.outcome",
    "reason": "storage_webhook.reason",
    "sources": "storage_webhook.sources",
    "differs": "storage_webhook.differs",
    "dry_run": "storage_webhook.dry_run",
}


class TracingUnavailable(Exception):
    """Tracing is enabled, but its packages are not installed."""


class Tracing:
    """Makes spans and sends them in batches by OTLP over HTTP, in its own thread."""

    def __init__(self) -> None:
        """Raises TracingUnavailable without the extra."""
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self._provider = _provider()
        except ImportError as error:
            raise TracingUnavailable(
                f"traces need the extra otel ({error.name} is missing): in a checkout, run pip install '.[otel]'; for "
                "the image, build with --build-arg REQUIREMENTS=requirements-otel.lock"
            ) from None
        self._tracer = self._provider.get_tracer("webhook")
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def traced(self, endpoint: Endpoint, name: str) -> Endpoint:
        """The endpoint, with each call in a span of that name."""
        kind = self._trace.SpanKind.SERVER

        async def call(scope: Scope, receive: Any, send: Any) -> None:
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            with self._tracer.start_as_current_span(name, self._propagator.extract(headers), kind):
                await endpoint(scope, receive, send)

        return call

    def record(self, admission: Mapping[str, Any]) -> None:
        """Set the log fields of an admission on its span; a failed admission is an error."""
        span = self._trace.get_current_span()
        span.set_attributes({name: admission[key] for key, name in _ATTRIBUTES.items() if key in admission})
        if admission["outcome"] == "failed":
            span.set_status(self._trace.StatusCode.ERROR)

    def close(self) -> None:
        """Send the spans that are still queued."""
        self._provider.shutdown()


def _provider() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": "storage-initializer-webhook"})
    # The variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
