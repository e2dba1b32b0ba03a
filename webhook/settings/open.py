"""The source that `--settings` names."""

from __future__ import annotations

from pathlib import Path

from webhook.settings.file import FileSettings
from webhook.settings.formats import is_namespace, is_object_name
from webhook.settings.source import EmbeddedSettings, SettingsSource

FORMS = "embedded, file:PATH or configmap:NAMESPACE/NAME"


def open_source(text: str) -> SettingsSource:
    """`embedded`, `file:PATH` or `configmap:NAMESPACE/NAME`, not started yet. Raises ValueError for anything else."""
    kind, _, rest = text.partition(":")
    if text == "embedded":
        return EmbeddedSettings()
    if kind == "file" and rest:
        return FileSettings(Path(rest))
    if kind == "configmap":
        return _config_map(text, rest)
    raise ValueError(f'"{text}" is not a source of settings: write {FORMS}')


def _config_map(text: str, rest: str) -> SettingsSource:
    namespace, _, name = rest.partition("/")
    if not is_namespace(namespace) or not is_object_name(name):
        raise ValueError(f'"{text}" names no ConfigMap: write configmap:NAMESPACE/NAME')
    # The Kubernetes client is large; only who needs it loads it.
    from webhook.settings.configmap import ConfigMapSettings

    return ConfigMapSettings(namespace, name)
