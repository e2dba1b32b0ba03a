"""A cache of function results by the identity of the arguments.

Facts and settings are replaced as a whole and never changed, but they contain mappings, so they have no hash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

MAX_REMEMBERED = 256
"""The results that are kept of a function of facts. Each keeps its facts, also those that their own cache drops."""


def cached_by_identity(maxsize: int = MAX_REMEMBERED) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Cache the results of a function for the same objects as arguments. They are positional and immutable.

    Strings are compared by value: names in pods are other objects in each request. They must be bounded.
    At `maxsize` results the cache starts anew. Exceptions are not cached.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        compute: Callable[..., T] = function
        # With the arguments, which must live as long as their identities are keys.
        results: dict[tuple[Any, ...], tuple[tuple[Any, ...], T]] = {}

        @functools.wraps(function)
        def cached(*arguments: Any) -> T:
            key = tuple([each if type(each) is str else id(each) for each in arguments])
            found = results.get(key)
            if found is None:
                if len(results) >= maxsize:
                    results.clear()
                found = results[key] = (arguments, compute(*arguments))
            return found[1]

        return cast("Callable[P, T]", cached)

    return decorate
