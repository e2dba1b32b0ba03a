"""Settings sources, and the settings in effect."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from webhook.errors import shortened
from webhook.settings.model import EMBEDDED, Settings
from webhook.settings.parse import KEYS, Problem, SettingsError, parse, require_keys

_log = logging.getLogger(__name__)

# A ConfigMap may have 1 MiB of keys, and each of them may be a problem.
_MAX_REASON = 2048
_MAX_WARNING = 512
_MAX_LOGGED_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of valid settings. It is immutable, so a request uses the same settings throughout."""

    settings: Settings
    version: str
    """The version in its source: a resourceVersion, a digest, or "embedded"."""
    generation: int = 1
    """The number of this snapshot in the process, starting at 1."""
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Newer settings that are invalid; the last valid ones stay in effect."""

    version: str
    reason: str
    """The problems, in at most 2,048 characters."""


class SettingsSource(Protocol):
    """Loads settings and keeps them up to date."""

    name: str
    """`embedded`, `file:PATH` or `configmap:NAMESPACE/NAME`."""
    reloads: int
    """How often new settings replaced the settings in effect."""
    rejections: int
    """How many versions were rejected."""
    warnings: int
    """Total number of warnings in the versions that took effect."""

    @property
    def current(self) -> Snapshot | None:
        """The settings in effect; None until valid settings are loaded."""

    @property
    def rejected(self) -> Rejection | None:
        """The newest version, when it was rejected."""

    @property
    def watch_error(self) -> str | None:
        """Why changes cannot be detected at the moment; None when they can."""

    async def start(self) -> None:
        """Load the settings and start to watch for changes.

        Raises SettingsError when the settings are invalid. A source that is not available yet raises nothing:
        `current` is None until it is.
        """

    async def stop(self) -> None:
        """Stop watching for changes. The current settings stay in effect."""


class LiveSettings:
    """The last valid settings of a source. An invalid update never replaces them.

    One thread or task writes, any number read: attributes are replaced, and their objects are never modified.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.current: Snapshot | None = None
        self.rejected: Rejection | None = None
        self.watch_error: str | None = None
        self.reloads = 0
        self.rejections = 0
        self.warnings = 0
        self._data: dict[str, Any] = {}

    def update(self, data: Mapping[str, Any], version: str) -> None:
        """Put the `data` of a ConfigMap into effect if it is valid.

        A change of other keys only updates the version: KServe's ConfigMap has more keys than the webhook reads.
        Raises SettingsError when the data is invalid; the previous settings stay in effect.
        """
        relevant = {key: data[key] for key in KEYS if key in data}
        if self.current and relevant == self._data:
            self.current = replace(self.current, version=version)
            self.rejected = None
            return
        try:
            require_keys(data)
            settings, warnings = parse(data)
        except SettingsError as error:
            self.reject(version, error)
            raise
        self._data = relevant
        self._activate(settings, version, tuple(warnings))

    def reject(self, version: str, error: SettingsError) -> None:
        """Record and log that `version` is invalid. Repeating the last rejection has no effect."""
        rejection = Rejection(version, shortened(str(error), _MAX_REASON))
        if rejection == self.rejected:
            return
        self.rejected = rejection
        self.rejections += 1
        kept = f"version {self.current.version} stays in effect" if self.current else "none are in effect"
        _log.warning("settings %s: version %s is rejected, %s: %s", self.name, version, kept, rejection.reason)

    def _activate(self, settings: Settings, version: str, warnings: tuple[Problem, ...]) -> None:
        generation = self.current.generation + 1 if self.current else 1
        self.reloads += self.current is not None
        self.warnings += len(warnings)
        self.current = Snapshot(settings, version, generation, warnings)
        self.rejected = None
        _log.info("settings %s: version %s is in effect, generation %d", self.name, version, generation)
        for warning in warnings[:_MAX_LOGGED_WARNINGS]:
            _log.warning("settings %s: %s", self.name, shortened(str(warning), _MAX_WARNING))
        if len(warnings) > _MAX_LOGGED_WARNINGS:
            _log.warning("settings %s: %d more warnings", self.name, len(warnings) - _MAX_LOGGED_WARNINGS)


class EmbeddedSettings(LiveSettings):
    """KServe's defaults. They never change."""

    def __init__(self) -> None:
        super().__init__("embedded")

    async def start(self) -> None:
        """Put the defaults into effect."""
        self.current = Snapshot(EMBEDDED, "embedded")

    async def stop(self) -> None:
        """Do nothing."""
