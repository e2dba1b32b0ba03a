"""The routes of the development page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ValidationError

from webhook.playground.examples import Examples, examples
from webhook.playground.preview import InvalidInput, Preview, PreviewRequest, preview
from webhook.settings.model import Settings

MAX_BODY_BYTES = 512 * 1024
"""The size of a preview's request: some fifty pods, as `kubectl get pods -o yaml` prints them."""

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/diff.js": ("diff.js", "text/javascript"),
    "/elements.js": ("elements.js", "text/javascript"),
    "/docs.js": ("docs.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Problem(BaseModel):
    """Why there is no preview; `field` is the field of the request that is wrong, or empty."""

    field: str
    message: str


class Rejection(BaseModel):
    """The body of an error."""

    detail: Problem


def routes(current: Callable[[], Settings | None]) -> APIRouter:
    """The page and its API; `current` returns the settings of the server, None before they are loaded."""
    router = APIRouter(tags=["Development page"])
    for path, (name, media_type) in _FILES.items():
        router.add_api_route(
            path,
            partial(_file, name, media_type),
            methods=["GET"],
            include_in_schema=path == "/",
            name=name,
            description="The page.",
            response_class=Response,
        )

    @router.get("/examples", responses={200: {"model": Examples}})
    def get_examples() -> Response:
        """The examples of the repository."""
        return _json(examples())

    errors: dict[int | str, dict[str, Any]] = {status: {"model": Rejection} for status in (413, 415, 422, 503)}
    body = {"required": True, "content": {"application/json": {"schema": PreviewRequest.model_json_schema()}}}

    @router.post("/preview", responses={200: {"model": Preview}, **errors}, openapi_extra={"requestBody": body})
    async def post_preview(request: Request) -> Response:
        """What the webhook does to manifests. Nothing is stored, and no cluster is asked."""
        content = await _content(request)
        settings = current()
        if settings is None:
            raise _problem(503, "the server has not loaded its settings yet: try again")
        try:
            parsed = PreviewRequest.model_validate_json(content)
            # A large preview takes seconds, and admission requests must not wait for it.
            return _json(await run_sync(preview, parsed, settings))
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False, include_context=False)
            raise _problem(422, first["msg"], ".".join(map(str, first["loc"]))) from None
        except InvalidInput as error:
            raise _problem(422, str(error), error.field) from None

    return router


async def _content(request: Request) -> bytes:
    """The body. Raises HTTPException without reading it when it is not JSON, and at the limit of its size."""
    # A page of another origin cannot send this type without the consent of this server.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _problem(415, "send Content-Type: application/json")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise _problem(413, f"the input is larger than {MAX_BODY_BYTES // 1024} KiB")
    return bytes(content)


async def _file(name: str, media_type: str) -> Response:
    return Response((_STATIC / name).read_bytes(), media_type=media_type, headers=_HEADERS)


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json", headers=_HEADERS)


def _problem(status: int, message: str, field: str = "") -> HTTPException:
    closing = {"Connection": "close"} if status in (413, 415) else {}  # what follows is not read
    detail = Problem(field=field, message=message).model_dump()
    return HTTPException(status, detail, headers={**_HEADERS, **closing})
