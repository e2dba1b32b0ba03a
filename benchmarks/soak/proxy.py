"""A TCP relay that simulates a network: it cuts connections, and updates a Service's endpoints with a delay."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path


class Relay:
    """Forwards each connection to one of its targets, which are local ports."""

    def __init__(self, *targets: int) -> None:
        self.targets = set(targets)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cuts = 0

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Abort all connections."""
        self.cuts += 1
        for writer in list(self._writers):
            writer.transport.abort()

    def add_target(self, target: int, delay: float) -> None:
        """Add a target after a delay in seconds."""
        asyncio.get_running_loop().call_later(delay, self.targets.add, target)

    def remove_target(self, target: int, delay: float) -> None:
        """Remove a target after a delay in seconds. Open connections stay open."""
        asyncio.get_running_loop().call_later(delay, self.targets.discard, target)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", random.choice(list(self.targets)))
        except (OSError, IndexError):
            writer.transport.abort()
            return
        self._writers |= {writer, target_writer}
        try:
            await asyncio.gather(_forward(reader, target_writer), _forward(target_reader, writer))
        except asyncio.CancelledError:
            # The loop is closing. asyncio's streams would report the error.
            return
        finally:
            self._writers -= {writer, target_writer}
            for each in (writer, target_writer):
                each.transport.abort()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def relayed_kubeconfig(kubeconfig: Path, target: int, port: int, directory: Path) -> Path:
    """A copy of the kubeconfig that uses the relay."""
    text = kubeconfig.read_text().replace(f"127.0.0.1:{target}", f"127.0.0.1:{port}")
    copy = directory / "relayed.kubeconfig"
    copy.touch(mode=0o600)
    copy.write_text(text)
    return copy
