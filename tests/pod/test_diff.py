"""The JSON patch between two documents."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.pod.diff import diff

_keys = st.sampled_from(["", "a", "b", "a/b", "a~b", "~1", "0", "-", "name", "😀"])
_leaves = st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, "", "x", "1"])
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)
_named_lists = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcdef")}, optional={"value": _values}), max_size=6
)


@given(_values, _values)
def test_the_patch_turns_one_document_into_the_other(old: Any, new: Any) -> None:
    patched = jsonpatch.apply_patch({"root": old}, diff({"root": old}, {"root": new}))
    assert _typed(patched) == _typed({"root": new})


@given(_named_lists, _named_lists)
def test_the_patch_preserves_the_order_of_named_lists(old: list[Any], new: list[Any]) -> None:
    patched = jsonpatch.apply_patch({"root": old}, diff({"root": old}, {"root": new}))
    assert _typed(patched) == _typed({"root": new})


@given(_values)
def test_equal_documents_need_no_patch(value: Any) -> None:
    assert diff(value, value) == []


def _typed(value: Any) -> Any:
    """The value with its types, because `==` treats 1, 1.0 and True as equal."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return type(value), value


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        ({}, {"a": 1}, [("add", "/a")]),
        ({"a": 1}, {}, [("remove", "/a")]),
        ({"a": None}, {}, [("remove", "/a")]),
        ({"a": None}, {"a": []}, [("replace", "/a")]),
        ({"a": 1}, {"a": 1.0}, [("replace", "/a")]),
        ({"a": 1}, {"a": True}, [("replace", "/a")]),
        ({"a/b": {"c~d": 1}}, {"a/b": {"c~d": 2}}, [("replace", "/a~1b/c~0d")]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, [("add", "/a/2")]),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}, [("remove", "/a/1")]),
        ({"a": [1, 3]}, {"a": [1, 2, 3]}, [("add", "/a/1")]),
        ({"a": [{"name": "x"}]}, {"a": [{"name": "x", "b": 1}]}, [("add", "/a/0/b")]),
        (
            {"a": [{"name": "x", "b": 1}]},
            {"a": [{"name": "y"}, {"name": "x", "b": 2}]},
            [("add", "/a/0"), ("replace", "/a/1/b")],
        ),
    ],
)
def test_the_patch_is_minimal(old: Any, new: Any, operations: list[tuple[str, str]]) -> None:
    assert [(operation["op"], operation["path"]) for operation in diff(old, new)] == operations


def test_shared_parts_are_not_compared() -> None:
    class Uncomparable(dict[str, Any]):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("a shared part was compared")

        __hash__ = None

    shared = Uncomparable(a=1)
    assert diff({"shared": shared, "b": 1}, {"shared": shared, "b": 1}) == []
