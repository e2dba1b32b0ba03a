"""Where settings come from, and what is live right now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from webhook.settings.model import Settings
from webhook.settings.parse import KEYS, Problem, SettingsError, parse, require_keys

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One set of valid settings: immutable, so that a request sees the same all the way."""

    settings: Settings
    version: str
    """What tells it from others of the same source: a resourceVersion, a digest, or "embedded"."""
    generation: int = 1
    """Counts the different settings that went live in this process, from 1."""
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A newer set of settings that could not be used; the last good one stays live."""

    version: str
    reason: str


class SettingsSource(Protocol):
    """Loads settings and keeps them current until it is stopped."""

    name: str
    """`embedded`, `file:PATH` or `configmap:NAMESPACE/NAME`."""
    reloads: int
    """How often new settings replaced live ones."""
    refusals: int
    """How many sets of settings were refused."""
    warnings: int
    """How many warnings the settings carried that went live, all together."""

    @property
    def current(self) -> Snapshot | None:
        """The live settings; None until the first valid ones are loaded."""

    @property
    def refused(self) -> Refusal | None:
        """The newest settings, when they were refused."""

    @property
    def trouble(self) -> str | None:
        """Why changes cannot be seen at the moment; None when they can."""

    async def start(self) -> None:
        """Load for the first time and begin to follow changes.

        Raises SettingsError when there are settings and they are wrong. A source that cannot be reached yet
        raises nothing: `current` stays None until it can.
        """

    async def stop(self) -> None:
        """Stop following changes; what is live stays live."""


class LiveSettings:
    """The last good settings of a source: a bad update never replaces them.

    Written by one thread or task, read by any: what readers see is replaced as a whole, never changed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.current: Snapshot | None = None
        self.refused: Refusal | None = None
        self.trouble: str | None = None
        self.reloads = 0
        self.refusals = 0
        self.warnings = 0
        self._data: dict[str, Any] = {}

    def offer(self, data: Mapping[str, Any], version: str) -> None:
        """Make a ConfigMap's `data` live if it is valid.

        Where none of our keys changed, it is the same settings under a new version: KServe keeps more in its
        ConfigMap than we read. Raises SettingsError when it is not valid; what was live stays.
        """
        ours = {key: data[key] for key in KEYS if key in data}
        if self.current and ours == self._data:
            self.current = replace(self.current, version=version)
            self.refused = None
            return
        try:
            require_keys(data)
            settings, warnings = parse(data)
        except SettingsError as error:
            self.refuse(version, error)
            raise
        self._data = ours
        self._go_live(settings, version, tuple(warnings))

    def refuse(self, version: str, error: SettingsError) -> None:
        """Remember that `version` cannot be used. The same refusal twice in a row is one."""
        refusal = Refusal(version, str(error))
        if refusal == self.refused:
            return
        self.refused = refusal
        self.refusals += 1
        kept = f"version {self.current.version} stays live" if self.current else "none are live"
        _log.warning("settings %s: version %s is refused, %s: %s", self.name, version, kept, error)

    def _go_live(self, settings: Settings, version: str, warnings: tuple[Problem, ...]) -> None:
        generation = self.current.generation + 1 if self.current else 1
        self.reloads += self.current is not None
        self.warnings += len(warnings)
        self.current = Snapshot(settings, version, generation, warnings)
        self.refused = None
        _log.info("settings %s: version %s is live, generation %d", self.name, version, generation)
        for warning in warnings:
            _log.warning("settings %s: %s", self.name, warning)


class EmbeddedSettings(LiveSettings):
    """KServe's defaults, and nothing that could change."""

    def __init__(self) -> None:
        super().__init__("embedded")

    async def start(self) -> None:
        """Make the defaults live."""
        self.current = Snapshot(Settings.model_construct(), "embedded")

    async def stop(self) -> None:
        """There is nothing to stop."""
