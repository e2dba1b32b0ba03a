"""Durations, as in `30m`, `1h30m` or `900s`."""

from __future__ import annotations

import re
from functools import lru_cache

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
EXAMPLES = "30m, 1h30m or 900s"
# The cache keeps the texts, which anybody may write.
_MAX_LENGTH = 64


@lru_cache(maxsize=128)
def seconds(text: str) -> int:
    """The seconds of a duration. Raises ValueError when the text is not a duration, and for 0 and 2^31 or more."""
    match = _DURATION.fullmatch(text.strip()) if len(text) <= _MAX_LENGTH else None
    hours, minutes, rest = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + rest
    if not 0 < total < 2**31:
        raise ValueError(f"must be a duration, such as {EXAMPLES}")
    return total
