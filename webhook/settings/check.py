"""Offline validation of settings, for the command `check-settings`."""

from __future__ import annotations

from dataclasses import dataclass

from webhook import yaml_loader
from webhook.settings.manifest import extract_data
from webhook.settings.model import Settings
from webhook.settings.parse import Problem, SettingsError, parse, require_keys


@dataclass(frozen=True, slots=True)
class Check:
    """The settings that would be in effect, with warnings and problems."""

    effective: str
    """All settings as YAML, with KServe's names and with defaults; "" when there are problems."""
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def check(text: str) -> Check:
    """Validate a ConfigMap manifest, or settings without one. Raises ValueError when the text is neither."""
    data = extract_data(text)
    try:
        require_keys(data)
        settings, warnings = parse(data)
    except SettingsError as error:
        return Check("", problems=tuple(error.problems))
    return Check(_as_yaml(settings), warnings=tuple(warnings))


def _as_yaml(settings: Settings) -> str:
    return yaml_loader.dump([settings.model_dump(mode="json", by_alias=True)])
