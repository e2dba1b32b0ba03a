"""Cases that run at the same time on the one node: the life of a pod is mostly waiting.

Their functions run on threads while pytest goes through its tests, and each test waits for its function.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeGuard, TypeVar

import pytest

T = TypeVar("T")
Test = TypeVar("Test", bound=Callable[..., None])

THREADS = 8

alone = pytest.mark.alone
"""Mark a test that disturbs others, or is disturbed by them. It runs when all others have ended."""


def shared(make: Callable[..., T]) -> Callable[..., T]:
    """Call a function once for the same arguments, and give its result to all tests."""
    lock, once = threading.Lock(), functools.lru_cache(maxsize=None)(make)

    @functools.wraps(make)
    def locked(*arguments: Any) -> T:
        with lock:
            return once(*arguments)

    return locked


@contextmanager
def started(items: Sequence[pytest.Function], given: Mapping[str, Any]) -> Iterator[Mapping[str, Future[None]]]:
    """Run the functions of tests that need nothing but `given` and their parameters. Their results, by test."""
    longest_first = sorted(items, key=lambda item: item.get_closest_marker("slow") is None)
    with ThreadPoolExecutor(THREADS) as pool:
        yield {item.nodeid: pool.submit(item.obj, **_arguments(item, given)) for item in longest_first}


def can_run_with_others(item: pytest.Item, given: frozenset[str]) -> TypeGuard[pytest.Function]:
    """Whether a test may run at the same time as others, and needs only these fixtures."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker(alone.name):
        return False
    return _needed(item) <= given


def await_others(results: Mapping[str, Future[None]]) -> None:
    """Wait until all functions have ended."""
    wait(results.values())


def _needed(item: pytest.Function) -> set[str]:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return set(item._fixtureinfo.argnames) - parameters.keys()


def _arguments(item: pytest.Function, given: Mapping[str, Any]) -> dict[str, Any]:
    parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    return {**parameters, **{name: given[name] for name in _needed(item)}}
