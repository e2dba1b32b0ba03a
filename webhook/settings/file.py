"""Settings from a file or a mounted ConfigMap, reloaded when they change."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from webhook.settings.disk import Contents, read
from webhook.settings.parse import SettingsError
from webhook.settings.source import LiveSettings

POLL_SECONDS = 0.4


class FileSettings(LiveSettings):
    """`file:PATH`: a ConfigMap manifest, the settings alone, or a mounted ConfigMap (one file per key).

    The path is read every `interval` seconds. Polling detects a rewrite in place, a rename over the file and the
    swap of `..data` in a mounted ConfigMap, on local and on network file systems, where inotify misses events.
    New contents take effect when two consecutive reads return the same, so that a partly written file is not used.
    """

    def __init__(self, path: Path, interval: float = POLL_SECONDS) -> None:
        super().__init__(f"file:{path}")
        self._path = path
        self._interval = interval
        self._last_read: Contents | None = None
        self._loaded: Contents | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the settings and start to poll. Raises SettingsError, also when the path does not exist."""
        self._last_read = self._loaded = await asyncio.to_thread(read, self._path)
        self._load(self._loaded)
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def poll(self) -> None:
        """Read once, and load contents that the previous read returned too."""
        previous, self._last_read = self._last_read, await asyncio.to_thread(read, self._path)
        if previous == self._last_read != self._loaded:
            self._loaded = self._last_read
            with contextlib.suppress(SettingsError):  # already recorded as rejected
                self._load(self._last_read)

    async def stop(self) -> None:
        """Stop polling."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.poll()

    def _load(self, contents: Contents) -> None:
        try:
            data = contents.data()
        except SettingsError as error:
            self.reject(contents.version, error)
            raise
        self.update(data, contents.version)
