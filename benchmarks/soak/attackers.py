"""Attacking clients, as a separate process: `python -m benchmarks.soak.attackers PORT SECONDS CONNECTIONS`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
IDLE_PER_SECOND = 500
"""Idle connections opened per second."""
_HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
_HEAD = b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def main(port: int, seconds: float, connections: int) -> None:
    held: list[socket.socket] = []
    attacks = [
        _every(1 / IDLE_PER_SECOND, lambda: _hold(port, held), connections),
        _every(1 / 20, lambda: _send_raw(port, os.urandom(200))),
        _every(1 / 10, lambda: _post(port, b"{" * 2000)),
        _every(1 / 5, lambda: _post(port, b" " * 65536, declared=8 * 2**20)),
        _every(1 / 20, lambda: _drip(port), 50),
    ]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*attacks, return_exceptions=True), seconds)
    for connection in held:
        connection.close()


async def _every(seconds: float, attack: Callable[[], Awaitable[None]], times: int = 10**9) -> None:
    loop = asyncio.get_running_loop()
    begin, running = loop.time(), set()
    for number in range(times):
        if (early := begin + number * seconds - loop.time()) > 0:
            await asyncio.sleep(early)
        task = asyncio.ensure_future(attack())
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.Event().wait()


async def _hold(port: int, held: list[socket.socket]) -> None:
    """Open a connection and send nothing, or the first bytes of a handshake."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((HOST, port))
    if random.random() < 0.5:
        with contextlib.suppress(OSError):
            connection.send(_HALF_HELLO)
    held.append(connection)


async def _send_raw(port: int, data: bytes) -> None:
    """Send bytes that are not TLS."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(data)
        await reader.read()
        writer.close()


async def _post(port: int, body: bytes, declared: int = 0) -> None:
    """Send a body that is not an AdmissionReview, or whose declared length is over the limit."""
    with contextlib.suppress(OSError):
        reader, writer = await _connect(port)
        writer.write(_HEAD % (declared or len(body)) + body)
        await reader.read()
        writer.close()


async def _drip(port: int) -> None:
    """Send a request byte by byte, on one connection after another."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await _connect(port)
            for byte in _HEAD % 1000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.5)
                if reader.at_eof():
                    break
            writer.transport.abort()
        await asyncio.sleep(0.5)


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, port, ssl=_TLS)


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


_TLS = _tls()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
