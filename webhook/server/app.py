"""The routes of the webhook."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from webhook.admission import review as reviews
from webhook.errors import shortened
from webhook.server import handlers
from webhook.server.context import Webhook
from webhook.server.endpoint import AdmissionEndpoint
from webhook.server.tracing import Endpoint, Tracing

_MAX_LINE = 4096
"""Characters in a line of /readyz. Anybody may read it, and a rejected ConfigMap has as many problems as keys."""


def create_app(webhook: Webhook, *, docs: bool = False, tracing: Tracing | None = None) -> FastAPI:
    """The ASGI application. `docs` enables FastAPI's OpenAPI pages; `tracing` makes a span of each admission."""
    on_admission = tracing.record if tracing else None
    endpoints: dict[str, Endpoint] = {
        "/mutate-pods": AdmissionEndpoint(webhook, handlers.handle_pod, on_admission, parse=reviews.parse_pod),
        "/mutate-deployments": AdmissionEndpoint(webhook, handlers.handle_deployment, on_admission),
        "/validate-settings": AdmissionEndpoint(webhook, handlers.handle_settings, on_admission),
        "/validate-workloads": AdmissionEndpoint(webhook, handlers.handle_workload, on_admission, only_warns=True),
    }
    if tracing:
        endpoints = {path: tracing.traced(endpoint, f"POST {path}") for path, endpoint in endpoints.items()}
    app = _App(
        title="storage-initializer-webhook",
        openapi_url="/openapi.json" if docs else None,
        direct=endpoints,
    )

    @app.get("/healthz")
    async def healthz() -> Response:
        """Liveness: the process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Readiness: valid settings are loaded and the server is not about to stop."""
        lines = [shortened(line, _MAX_LINE) for line in _readiness(webhook)]
        ready = webhook.settings.current is not None and not webhook.draining
        return PlainTextResponse("\n".join(lines) + "\n", status_code=200 if ready else 503)

    return app


class _App(FastAPI):
    """FastAPI with endpoints that bypass its routing."""

    def __init__(self, *, direct: dict[str, Endpoint], **options: Any) -> None:
        super().__init__(**options)
        self._direct = direct

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endpoint = self._direct.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or super().__call__)(scope, receive, send)


def _readiness(webhook: Webhook) -> list[str]:
    source = webhook.settings
    lines = ["draining"] if webhook.draining else []
    if source.current is None:
        lines.append(f"settings {source.name}: not loaded yet")
    else:
        lines.append(
            f"settings {source.name}: version {source.current.version}, generation {source.current.generation}"
        )
    if source.watch_error is not None:
        lines.append(f"changes cannot be seen: {source.watch_error}")
    if source.rejected is not None:
        lines.append(f"rejected version {source.rejected.version}: {source.rejected.reason}")
    return lines
