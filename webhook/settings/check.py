"""What a set of settings would do, without a cluster: for `check-settings`."""

from __future__ import annotations

from dataclasses import dataclass

from webhook import yaml_text
from webhook.settings.manifest import data_of
from webhook.settings.model import Settings
from webhook.settings.parse import Problem, SettingsError, parse, require_keys


@dataclass(frozen=True, slots=True)
class Check:
    """The settings that would be in effect, and what is to be said about them."""

    effective: str
    """YAML with KServe's names, defaults filled in, that reads as the same settings; "" when there are problems."""
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def check(text: str) -> Check:
    """Check a ConfigMap manifest, or the bare settings. Raises ValueError when the text is neither."""
    data = data_of(text)
    try:
        require_keys(data)
        settings, warnings = parse(data)
    except SettingsError as error:
        return Check("", problems=tuple(error.problems))
    return Check(_as_yaml(settings), warnings=tuple(warnings))


def _as_yaml(settings: Settings) -> str:
    return yaml_text.dump([settings.model_dump(mode="json", by_alias=True)])
