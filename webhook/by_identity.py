"""A cache of function results by the identity of the arguments.

Facts and settings are replaced as a whole and never changed, but they contain mappings, so they have no hash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MAX_REMEMBERED = 256
"""The results that are kept of a function of facts. Each keeps its facts, also those that their own cache drops."""


def cached_by_identity(maxsize: int = MAX_REMEMBERED) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Cache the results of a function for the same objects as arguments. They are positional and immutable.

    At `maxsize` results the cache starts anew. Exceptions are not cached.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        # With the arguments, which must live as long as their identities are keys.
        results: dict[tuple[int, ...], tuple[tuple[Any, ...], T]] = {}

        @functools.wraps(function)
        def cached(*arguments: Any) -> T:
            identities = tuple(map(id, arguments))
            found = results.get(identities)
            if found is None:
                if len(results) >= maxsize:
                    results.clear()
                found = results[identities] = (arguments, function(*arguments))
            return found[1]

        return cached

    return decorate
