"""A TCP relay: what a network does to connections. It cuts them, and it finds a Service's endpoints, a little late."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path


class Relay:
    """Passes bytes on to a port of this machine, and back; each connection to any one of its targets."""

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
        """End every connection, without a word."""
        self.cuts += 1
        for writer in list(self._writers):
            writer.transport.abort()

    def learn(self, target: int, after: float) -> None:
        """Send new connections there too, some seconds later."""
        asyncio.get_running_loop().call_later(after, self.targets.add, target)

    def forget(self, target: int, after: float) -> None:
        """Send no new connections there, some seconds later; those that are open stay."""
        asyncio.get_running_loop().call_later(after, self.targets.discard, target)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", random.choice(list(self.targets)))
        except (OSError, IndexError):
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(_pass(reader, there_writer), _pass(there_reader, writer))
        except asyncio.CancelledError:
            # The end of everything; asyncio's streams would report it.
            return
        finally:
            self._writers -= {writer, there_writer}
            for each in (writer, there_writer):
                each.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def through(kubeconfig: Path, target: int, port: int, directory: Path) -> Path:
    """A kubeconfig that goes through the relay."""
    text = kubeconfig.read_text().replace(f"127.0.0.1:{target}", f"127.0.0.1:{port}")
    made = directory / "relayed.kubeconfig"
    made.touch(mode=0o600)
    made.write_text(text)
    return made
