"""The routes of the webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.server.packages import load_fastapi

load_fastapi()

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from webhook.admission import review as reviews
from webhook.errors import shortened
from webhook.server import handlers
from webhook.server.context import Webhook
from webhook.server.endpoint import AdmissionEndpoint
from webhook.server.tracing import Endpoint, Tracing
from webhook.settings.model import Settings

_MAX_LINE = 4096
"""Characters in a line of /readyz. Anybody may read it, and a rejected ConfigMap has as many problems as keys."""


def create_app(webhook: Webhook, *, page: bool = False, tracing: Tracing | None = None) -> FastAPI:
    """The ASGI application. `page` adds the development page; `tracing` makes a span of each admission."""
    on_admission = tracing.record if tracing else None
    admission = {
        "/mutate-pods": AdmissionEndpoint(webhook, handlers.handle_pod, on_admission, parse=reviews.parse_pod),
        "/mutate-deployments": AdmissionEndpoint(webhook, handlers.handle_deployment, on_admission),
        "/validate-settings": AdmissionEndpoint(webhook, handlers.handle_settings, on_admission),
        "/validate-workloads": AdmissionEndpoint(webhook, handlers.handle_workload, on_admission, only_warns=True),
    }
    endpoints: dict[str, Endpoint] = {**admission}
    if tracing:
        endpoints = {path: tracing.traced(endpoint, f"POST {path}") for path, endpoint in admission.items()}
    app = _App(
        title="storage-initializer-webhook",
        openapi_url="/openapi.json" if page else None,
        docs_url=None,
        redoc_url=None,
        direct=endpoints,
    )
    if page:
        _add_page(app, webhook, {path: endpoint.summary for path, endpoint in admission.items()})

    @app.get("/healthz", response_model=None)
    async def healthz() -> Response:
        """Liveness: the process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", response_model=None)
    async def readyz() -> Response:
        """Readiness: valid settings are loaded and the server is not about to stop."""
        lines = [shortened(line, _MAX_LINE) for line in _readiness(webhook)]
        ready = webhook.settings.current is not None and not webhook.draining
        return PlainTextResponse("\n".join(lines) + "\n", status_code=200 if ready else 503)

    return app


def _add_page(app: FastAPI, webhook: Webhook, admission_routes: Mapping[str, str]) -> None:
    # Imported only for development: a production server does not pay for it.
    from webhook.playground.openapi import describe
    from webhook.playground.routes import routes

    def current() -> Settings | None:
        snapshot = webhook.settings.current
        return snapshot.settings if snapshot else None

    app.include_router(routes(current))
    describe(app, admission_routes)


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
