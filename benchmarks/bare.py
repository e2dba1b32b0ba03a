"""The baseline: a bare ASGI app that reads the body and returns 2 KB, on uvicorn with the webhook's options.

`python -m benchmarks.bare PORT CERTIFICATE KEY`
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

_RESPONSE = b"x" * 2048
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"2048")],
}
_BODY = {"type": "http.response.body", "body": _RESPONSE}


async def app(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_BODY)


if __name__ == "__main__":
    _, port, certificate, key = sys.argv
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_keep_alive=120,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
