"""Options that take one of several words."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """Log formats."""

    json = "json"
    console = "console"


class LogLevel(StrEnum):
    """Log levels."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class TableOutput(StrEnum):
    """Output formats of lists."""

    table = "table"
    json = "json"


class Output(StrEnum):
    """Output formats of `mutate`."""

    yaml = "yaml"
    json = "json"
    patch = "patch"
    diff = "diff"
