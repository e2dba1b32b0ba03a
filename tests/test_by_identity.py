"""Results that are cached by the identity of the arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from webhook.by_identity import cached_by_identity


def test_equal_objects_are_told_apart_and_the_same_ones_are_not() -> None:
    calls: list[dict[str, int]] = []

    @cached_by_identity(maxsize=10)
    def remembered(value: dict[str, int]) -> int:
        calls.append(value)
        return len(calls)

    one, other = {"a": 1}, {"a": 1}
    assert [remembered(one), remembered(other), remembered(one), remembered(other)] == [1, 2, 1, 2]


def test_a_name_is_the_same_in_each_request() -> None:
    calls: list[str] = []

    @cached_by_identity(maxsize=10)
    def known(name: str, fact: dict[str, int]) -> int:
        calls.append(name)
        return len(calls)

    fact: dict[str, int] = {}
    assert [known(json.loads(f'"{name}"'), fact) for name in ("one", "one", "other", "one")] == [1, 1, 2, 1]


def test_objects_that_are_gone_are_never_taken_for_new_ones() -> None:
    # Without a reference, the memory of each list, and with it its identity, is soon that of the next one.
    @cached_by_identity(maxsize=10)
    def first(value: list[int]) -> int:
        return value[0]

    assert [first([number]) for number in range(100)] == list(range(100))


def test_no_more_than_the_maximum_is_kept() -> None:
    class Fact:
        alive = 0

        def __init__(self) -> None:
            Fact.alive += 1

        def __del__(self) -> None:
            Fact.alive -= 1

    @cached_by_identity(maxsize=3)
    def known(fact: Fact) -> bool:
        return True

    for _ in range(10):
        known(Fact())
        assert Fact.alive <= 3


def test_exceptions_are_not_cached() -> None:
    results: Iterator[int | ValueError] = iter([ValueError("once"), 1])

    @cached_by_identity(maxsize=10)
    def failing(key: str) -> int:
        result = next(results)
        if isinstance(result, ValueError):
            raise result
        return result

    with pytest.raises(ValueError, match="once"):
        failing("a")
    assert failing("a") == 1
