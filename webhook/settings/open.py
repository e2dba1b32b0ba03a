"""Creation of the settings source for the option `--settings`."""

from __future__ import annotations

from pathlib import Path

from webhook.settings.file import FileSettings
from webhook.settings.formats import is_namespace, is_object_name
from webhook.settings.source import EmbeddedSettings, SettingsSource

FORMS = "embedded, file:PATH or configmap:NAMESPACE/NAME"


def open_source(text: str) -> SettingsSource:
    """Create the source, without starting it. Raises ValueError when the text is not one of FORMS."""
    kind, _, rest = text.partition(":")
    if text == "embedded":
        return EmbeddedSettings()
    if kind == "file" and rest:
        return FileSettings(Path(rest))
    if kind == "configmap":
        return _config_map(text, rest)
    raise ValueError(f'"{text}" is not a settings source: use {FORMS}')


def _config_map(text: str, rest: str) -> SettingsSource:
    namespace, _, name = rest.partition("/")
    if not is_namespace(namespace) or not is_object_name(name):
        raise ValueError(f'"{text}" does not name a ConfigMap: use configmap:NAMESPACE/NAME')
    # Imported here because the Kubernetes client is large.
    from webhook.settings.configmap import ConfigMapSettings

    return ConfigMapSettings(namespace, name)
