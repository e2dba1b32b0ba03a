"""Where settings come from, and what is live right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from webhook.settings.model import Settings
from webhook.settings.parse import Problem, SettingsError, parse


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One set of valid settings: immutable, so that a request sees the same all the way."""

    settings: Settings
    version: str
    """What tells it from others of the same source: a resourceVersion, a digest, or "embedded"."""
    generation: int = 1
    """Counts the snapshots that this process took, from 1."""
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

    @property
    def current(self) -> Snapshot | None:
        """The live settings; None until the first valid ones are loaded."""

    @property
    def refused(self) -> Refusal | None:
        """The newest settings, when they were refused."""

    async def start(self) -> None:
        """Load for the first time and begin to follow changes.

        Raises SettingsError when there are settings and they are wrong. A source that cannot be reached yet
        raises nothing: `current` stays None until it can.
        """

    async def stop(self) -> None:
        """Stop following changes."""


class LiveSettings:
    """The last good settings of a source: a bad update never replaces them."""

    def __init__(self) -> None:
        self.current: Snapshot | None = None
        self.refused: Refusal | None = None
        self.refusals = 0
        """How many updates were refused, for the metric."""

    def offer(self, data: Mapping[str, Any], version: str) -> None:
        """Make `data` live if it is valid. Raises SettingsError when it is not; what was live stays."""
        try:
            settings, warnings = parse(data)
        except SettingsError as error:
            self.refused = Refusal(version, str(error))
            self.refusals += 1
            raise
        generation = self.current.generation + 1 if self.current else 1
        self.current = Snapshot(settings, version, generation, tuple(warnings))
        self.refused = None


class EmbeddedSettings(LiveSettings):
    """KServe's defaults, and nothing that could change."""

    name = "embedded"

    async def start(self) -> None:
        self.offer({}, "embedded")

    async def stop(self) -> None:
        return
