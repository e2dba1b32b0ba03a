"""Settings from a file or a mounted ConfigMap, followed as they change."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from webhook.settings.disk import Contents, read
from webhook.settings.parse import SettingsError
from webhook.settings.source import LiveSettings

POLL_SECONDS = 0.4


class FileSettings(LiveSettings):
    """`file:PATH`: a ConfigMap manifest, the bare keys, or a directory with one file a key (a mounted ConfigMap).

    Changes are found by reading again every `interval` seconds. That sees a rewrite in place, a rename over the
    file and a mounted ConfigMap's `..data` swap alike, on local and on network file systems, where inotify misses
    some; a few kilobytes cost microseconds. What was read twice in a row counts, so that a file that is being
    written, or a directory in the middle of a swap, is not taken for the new settings.
    """

    def __init__(self, path: Path, interval: float = POLL_SECONDS) -> None:
        super().__init__(f"file:{path}")
        self._path = path
        self._interval = interval
        self._seen: Contents | None = None
        self._taken: Contents | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load, and begin to follow changes. Raises SettingsError, also when there is nothing at the path."""
        self._seen = self._taken = await asyncio.to_thread(read, self._path)
        self._take(self._taken)
        self._task = asyncio.create_task(self._follow(), name=self.name)

    async def look(self) -> None:
        """Read, and take what was found if the look before found it too."""
        last, self._seen = self._seen, await asyncio.to_thread(read, self._path)
        if last == self._seen != self._taken:
            self._taken = self._seen
            with contextlib.suppress(SettingsError):  # offer and refuse have it on record
                self._take(self._seen)

    async def stop(self) -> None:
        """Stop following changes."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.look()

    def _take(self, found: Contents) -> None:
        try:
            data = found.data()
        except SettingsError as error:
            self.refuse(found.version, error)
            raise
        self.offer(data, found.version)
