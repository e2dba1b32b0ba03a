"""Patterns with the wildcards `*` and `?`, as in the administrator's settings."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache


def matches(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether the whole text matches one of the patterns. Upper and lower case differ."""
    return bool(patterns) and _compiled(patterns).match(text) is not None


def matches_below(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the path, or a directory that contains it, matches one of the patterns. `*` matches `/` too."""
    return matches(path, _with_content(patterns))


@lru_cache(maxsize=256)
def _with_content(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return (*patterns, *(f"{pattern}/*" for pattern in patterns))


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
