"""Offline validation of settings, for the command `check-settings`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webhook import uri, yaml_loader
from webhook.errors import Denied, quoted, redacted
from webhook.settings.access import Requester
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


def permissions(text: str, requester: str, uris: Iterable[str]) -> Iterator[str]:
    """What pods of `<namespace>/<service account>` may do with each URI, and the setting that decides, on a line each.

    `text` contains valid settings. Raises ValueError when the requester or a URI is invalid.
    """
    namespace, _, account = requester.partition("/")
    if not (uri.is_object_name(namespace) and uri.is_object_name(account)):
        raise ValueError(f"--as {quoted(requester)} must be <namespace>/<service account>, such as models/default")
    settings, _ = parse(extract_data(text))
    for each in uris:
        found = settings.storage_defaults.permission(Requester(namespace, account), _claim(each))
        yield f"{redacted(each)}: {found.allow} ({found.setting})"


def _claim(text: str) -> uri.ClaimPath | None:
    try:
        checked = uri.check(text, "--uri")
        return uri.parse_claim(checked, "--uri") if uri.is_claim(checked) else None
    except Denied as error:
        raise ValueError(error.message) from None


def _as_yaml(settings: Settings) -> str:
    return yaml_loader.dump([settings.model_dump(mode="json", by_alias=True)])
