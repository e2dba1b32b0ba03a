"""OpenTelemetry traces of admissions, for those who install the extra `otel` and say where traces go.

Configured by the standard variables of OpenTelemetry, such as OTEL_EXPORTER_OTLP_ENDPOINT. The span continues the
API server's own trace when that sends one (Kubernetes: APIServerTracing).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Endpoint = Callable[[Scope, Any, Any], Awaitable[None]]


class TracingUnavailable(Exception):
    """Traces are asked for, and the packages that make them are not installed."""


def traced(endpoint: Endpoint, name: str) -> Endpoint:
    """The endpoint, each call of it in a span of that name. Raises TracingUnavailable without the extra."""
    tracer, propagator = _tracer()

    async def call(scope: Scope, receive: Any, send: Any) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        with tracer.start_as_current_span(name, context=propagator.extract(headers)):
            await endpoint(scope, receive, send)

    return call


def _tracer() -> tuple[Any, Any]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError as error:
        raise TracingUnavailable(
            f"traces need the extra otel ({error.name} is missing): pip install 'storage-initializer-webhook[otel]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "storage-initializer-webhook"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("webhook"), TraceContextTextMapPropagator()
