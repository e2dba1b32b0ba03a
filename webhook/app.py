"""The routes of the webhook."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from webhook import decide
from webhook.context import Webhook
from webhook.endpoint import AdmissionEndpoint
from webhook.tracing import Endpoint, Tracing


def create_app(webhook: Webhook, *, docs: bool = False, tracing: Tracing | None = None) -> FastAPI:
    """The ASGI application. `docs` switches FastAPI's OpenAPI pages on; `tracing` makes spans of admissions."""
    tell = tracing.tell if tracing else None
    endpoints: dict[str, Endpoint] = {
        "/mutate-pods": AdmissionEndpoint(webhook, decide.pods, tell),
        "/mutate-deployments": AdmissionEndpoint(webhook, decide.deployments, tell),
        "/validate-settings": AdmissionEndpoint(webhook, decide.settings, tell),
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
        """Alive: the process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Ready: valid settings are loaded and the server is not about to stop."""
        lines = _readiness(webhook)
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
        lines.append(f"settings {source.name}: none yet")
    else:
        lines.append(
            f"settings {source.name}: version {source.current.version}, generation {source.current.generation}"
        )
    if source.trouble is not None:
        lines.append(f"trouble: {source.trouble}")
    if source.refused is not None:
        lines.append(f"refused version {source.refused.version}: {source.refused.reason}")
    return lines
