"""Settings from a file or a mounted ConfigMap, and its changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.settings.manifest import data_of
from webhook.settings.model import Settings
from webhook.settings.parse import KEYS, Problem, SettingsError, parse, require_keys
from webhook.settings.source import LiveSettings

MAX_BYTES = 3 * 2**20
"""Three times what Kubernetes allows for a ConfigMap: room for the manifests around it."""
POLL_SECONDS = 0.4


def load_file(path: Path) -> tuple[Settings, list[Problem]]:
    """The settings in a file or directory, with warnings. Raises SettingsError, naming the path or the key."""
    data = _read(path).data()
    require_keys(data)
    return parse(data)


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
        self._seen: _Read | None = None
        self._taken: _Read | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load, and begin to follow changes. Raises SettingsError, also when there is nothing at the path."""
        self._seen = self._taken = await asyncio.to_thread(_read, self._path)
        self._take(self._taken)
        self._task = asyncio.create_task(self._follow(), name=self.name)

    async def look(self) -> None:
        """Read, and take what was found if the look before found it too."""
        last, self._seen = self._seen, await asyncio.to_thread(_read, self._path)
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

    def _take(self, read: _Read) -> None:
        try:
            data = read.data()
        except SettingsError as error:
            self.refuse(read.version, error)
            raise
        self.offer(data, read.version)


@dataclass(frozen=True, slots=True)
class _Read:
    """What one look at the path found: the bytes of the file, or of each key's file in a directory."""

    path: Path
    files: tuple[tuple[str, bytes], ...] = ()
    failure: str = ""

    @property
    def version(self) -> str:
        if self.failure:
            return "unreadable"
        return hashlib.sha256(repr(self.files).encode()).hexdigest()[:12]

    def data(self) -> Mapping[str, Any]:
        """Raises SettingsError, naming the path."""
        if self.failure:
            raise SettingsError([Problem(str(self.path), self.failure)])
        try:
            texts = {key: content.decode() for key, content in self.files}
            return texts if "" not in texts else data_of(texts[""])
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        except ValueError as error:
            reason = str(error)
        raise SettingsError([Problem(str(self.path), reason)])


def _read(path: Path) -> _Read:
    try:
        if path.is_dir():
            return _Read(path, tuple((key, _content(path / key)) for key in KEYS if (path / key).exists()))
        return _Read(path, (("", _content(path)),))
    except OSError as error:
        return _Read(path, failure=error.strerror or str(error))


def _content(path: Path) -> bytes:
    """Raises OSError, also for what is no regular file: reading a pipe would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES // 2**20} MiB")
    return content
