"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """The results, from good to bad."""

    WORKS = "works"
    UNAVAILABLE = "not available"
    """An optional feature that this cluster does not have."""
    UNKNOWN = "unknown"
    """It could not be checked."""
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, and the result; `detail` says what was found, and what to do."""

    area: str
    subject: str
    result: Result
    detail: str
