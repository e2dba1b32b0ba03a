"""YAML loaders with libyaml, which is ten times faster than pure Python."""

from typing import Any

import yaml


def document(text: str | bytes) -> Any:
    """The single document of a text; None when it is empty."""
    return yaml.load(text, yaml.CSafeLoader)


def documents(text: str | bytes) -> list[Any]:
    """All documents of a text, without empty ones."""
    return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found is not None]
