"""Settings on disk: a ConfigMap manifest, the settings alone, or a directory with one file per key."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.settings.manifest import extract_data
from webhook.settings.model import Settings
from webhook.settings.parse import KEYS, Problem, SettingsError, parse, require_keys

MAX_BYTES = 2**20
"""The size limit of a ConfigMap (Kubernetes: MaxSecretSize)."""
_MAX_VALUES = 20_000


def load_file(path: Path) -> tuple[Settings, list[Problem]]:
    """Load settings and warnings from a file or directory. Raises SettingsError, which names the path or the key."""
    data = read(path).data()
    require_keys(data)
    return parse(data)


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of the path at one point in time: one file, or one file per key in a directory."""

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
        """The contents as the `data` of a ConfigMap. Raises SettingsError, which names the path."""
        if self.failure:
            raise SettingsError([Problem(str(self.path), self.failure)])
        try:
            texts = {key: content.decode() for key, content in self.files}
            return texts if "" not in texts else extract_data(texts[""], _MAX_VALUES)
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        except ValueError as error:
            reason = str(error)
        raise SettingsError([Problem(str(self.path), reason)])


def read(path: Path) -> Contents:
    """Read the path once. An error is returned as the `failure` of the contents."""
    try:
        if path.is_dir():
            return Contents(path, tuple((key, _content(path / key)) for key in KEYS if (path / key).exists()))
        return Contents(path, (("", _content(path)),))
    except OSError as error:
        return Contents(path, failure=error.strerror or str(error))


def _content(path: Path) -> bytes:
    """Read a regular file. Raises OSError for anything else: reading a pipe would block."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES // 2**20} MiB")
    return content
