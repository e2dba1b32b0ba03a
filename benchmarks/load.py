"""Load generator: a process that sends requests over keep-alive TLS connections."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

CONNECTIONS = 16
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Target:
    """The server that requests are sent to."""

    port: int
    ca: Path


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a load; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float


class Load:
    """A load with open connections. Use as a context manager."""

    def __init__(self, target: Target, bodies: list[bytes], connections: int = CONNECTIONS) -> None:
        """`bodies` are sent in turns."""
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=_main, args=(child_pipe, target, bodies, connections), daemon=True)

    def __enter__(self) -> Load:
        self._process.start()
        if not self._pipe.poll(60) or self._pipe.recv() != "ready":
            raise RuntimeError("the server does not accept connections")
        return self

    def __exit__(self, *error: object) -> None:
        self._pipe.send(None)
        self._process.join(10)

    def run(self, seconds: float, rate: float = 0) -> Result:
        """Send requests for this many seconds: on each connection one after another or, with `rate`, so many a second.

        With a rate, the time of a request begins when it was due. Raises RuntimeError for an unexpected response.
        """
        self._pipe.send((seconds, rate))
        if not self._pipe.poll(seconds + 60):
            raise RuntimeError("no response in time")
        result = self._pipe.recv()
        if not isinstance(result, Result):
            raise RuntimeError(f"unexpected response: {result}")
        return result


class _Client(asyncio.Protocol):
    """One connection. It sends the next request when the last response is complete."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._size = 0
        self._received = bytearray()
        self._began = 0.0
        self.transport: Any = None
        self.sending = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.latencies: list[float] = []
        self.failure: bytes = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.failure = self.failure or b"connection closed"
        self.idle.set()

    def begin(self) -> None:
        """Start to send requests."""
        self.sending = True
        self.send(time.perf_counter())

    def send(self, due: float) -> None:
        """Send one request, which was due at this time."""
        self.idle.clear()
        self._began = due
        self.transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._size:
            self._size = _response_size(self._received)
        if not self._size or len(self._received) < self._size:
            return
        if not self._received.startswith(b"HTTP/1.1 200 ") or b'"allowed":false' in self._received:
            self.failure = bytes(self._received[:1000])
        self.latencies.append(time.perf_counter() - self._began)
        self._received.clear()
        self._size = 0
        if self.sending and not self.failure:
            self.send(time.perf_counter())
        else:
            self.idle.set()


def _response_size(response: bytearray) -> int:
    """The size of the whole response in bytes; 0 while its header is incomplete."""
    header, end, _ = response.partition(b"\r\n\r\n")
    if not end:
        return 0
    length = next(line for line in header.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(header) + len(end) + int(length.partition(b":")[2])


def _main(pipe: Connection, target: Target, bodies: list[bytes], connections: int) -> None:
    uvloop.run(_serve(pipe, target, bodies, connections))


async def _serve(pipe: Connection, target: Target, bodies: list[bytes], connections: int) -> None:
    loop = asyncio.get_running_loop()
    head = (
        b"POST /mutate-pods HTTP/1.1\r\nHost: webhook.example.svc\r\nUser-Agent: kube-apiserver-admission\r\n"
        b"Content-Length: %d\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n"
        b"Accept-Encoding: gzip\r\n\r\n"
    )
    requests = itertools.cycle([head % len(body) + body for body in bodies])
    tls = ssl.create_default_context(cafile=str(target.ca))
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(requests), HOST, target.port, ssl=tls, server_hostname=HOST
        )
        clients.append(client)
    pipe.send("ready")
    while (command := await asyncio.to_thread(pipe.recv)) is not None:
        pipe.send(await _load(clients, *command))


async def _load(clients: list[_Client], seconds: float, rate: float) -> Result | str:
    began = time.perf_counter()
    for client in clients:
        client.latencies = []
    await (_send_at(clients, seconds, rate) if rate else _send_in_turn(clients, seconds))
    await asyncio.gather(*(client.idle.wait() for client in clients))
    took = time.perf_counter() - began
    if failure := next((client.failure for client in clients if client.failure), b""):
        return failure.decode("latin-1")
    latencies = sorted(latency for client in clients for latency in client.latencies)
    return Result(len(latencies), took, _quantile(latencies, 0.5), _quantile(latencies, 0.99))


async def _send_in_turn(clients: list[_Client], seconds: float) -> None:
    for client in clients:
        client.begin()
    await asyncio.sleep(seconds)
    for client in clients:
        client.sending = False


async def _send_at(clients: list[_Client], seconds: float, rate: float) -> None:
    """Send at random times, as independent callers do, over the next connection that is idle."""
    draw = random.Random(0)
    due = time.perf_counter()
    end = due + seconds
    while (due := due + draw.expovariate(rate)) < end:
        while due > time.perf_counter():
            await asyncio.sleep(max(0, due - time.perf_counter()))
        while (client := next((each for each in clients if each.idle.is_set()), None)) is None:
            await asyncio.sleep(0.0002)
        client.send(due)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
