"""Settings on disk: a ConfigMap manifest, the bare keys, or a directory with one file a key."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.settings.manifest import data_of
from webhook.settings.model import Settings
from webhook.settings.parse import KEYS, Problem, SettingsError, parse, require_keys

MAX_BYTES = 3 * 2**20
"""Three times what Kubernetes allows for a ConfigMap: room for the manifests around it."""


def load_file(path: Path) -> tuple[Settings, list[Problem]]:
    """The settings in a file or directory, with warnings. Raises SettingsError, naming the path or the key."""
    data = read(path).data()
    require_keys(data)
    return parse(data)


@dataclass(frozen=True, slots=True)
class Contents:
    """What one look at the path found: the bytes of the file, or of each key's file in a directory."""

    path: Path
    files: tuple[tuple[str, bytes], ...] = ()
    failure: str = ""

    @property
    def version(self) -> str:
        """A digest of the contents."""
        if self.failure:
            return "unreadable"
        return hashlib.sha256(repr(self.files).encode()).hexdigest()[:12]

    def data(self) -> Mapping[str, Any]:
        """What a ConfigMap's `data` would hold. Raises SettingsError, naming the path, when that cannot be told."""
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


def read(path: Path) -> Contents:
    """Look at the path once. What cannot be read is a `failure` in the contents."""
    try:
        if path.is_dir():
            return Contents(path, tuple((key, _content(path / key)) for key in KEYS if (path / key).exists()))
        return Contents(path, (("", _content(path)),))
    except OSError as error:
        return Contents(path, failure=error.strerror or str(error))


def _content(path: Path) -> bytes:
    """Raises OSError, also for what is no regular file: reading a pipe would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES // 2**20} MiB")
    return content
