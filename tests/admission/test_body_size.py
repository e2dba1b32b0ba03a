"""Bodies with more values than Kubernetes stores are rejected before they are parsed."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission import review
from webhook.admission.body_size import _SMALL, MAX_COMMAS, MAX_OBJECTS, _without_strings, check_number
from webhook.errors import BadReview
from webhook.server.endpoint import MAX_BODY_BYTES

MIB = 2**20


def _accepted(body: bytes) -> bool:
    try:
        check_number(body)
    except BadReview as error:
        assert "200,000 objects and lists" in str(error)
        return False
    return True


def _update(found: Any) -> bytes:
    """The review of an update, which carries two objects, written as by the API server."""
    body = {"request": {"object": found, "oldObject": found}}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _dense(size: int) -> Any:
    """A pod of so many bytes with environment variables, as an API server records and returns it."""
    number = size // 95
    env = [{"name": f"A{index}", "value": "1"} for index in range(number)]
    record: dict[str, Any] = {
        json.dumps({"name": each["name"]}).join(["k:", ""]): {".": {}, "f:name": {}, "f:value": {}} for each in env
    }
    return {"metadata": {"managedFields": [{"fieldsV1": {"f:env": record}}]}, "spec": {"containers": [{"env": env}]}}


@pytest.mark.parametrize(
    "found",
    [
        _dense(3 * MIB // 2),
        {"data": {"a": "{[,]}" * (MIB // 5)}},
        {"data": {"a": json.dumps([{"a": 1}] * (MIB // 14))}},
        {"data": {"a": "\\" * (MIB // 2), "b": '\\"' * (MIB // 4)}},
    ],
)
def test_an_update_of_the_largest_objects_is_accepted(found: Any) -> None:
    assert _accepted(_update(found))


@pytest.mark.parametrize("item", ['{"":{}}', "[]", "[[]]", "{}", "1", '""', '"\\\\"', '"\\"{"', '{ "a" :\n[ ] }'])
def test_a_body_of_small_values_is_rejected(item: str) -> None:
    assert not _accepted(f"[{','.join([item] * (7 * MIB // (len(item) + 1)))}]".encode())
    assert _accepted(f"[{','.join([item] * 100)}]".encode())


@given(
    st.recursive(
        st.text('\\"{[,a\n', max_size=5) | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('\\"{,', max_size=3), inner),
    )
)
def test_only_what_is_outside_of_strings_counts(value: Any) -> None:
    def commas_and_opened(found: Any) -> tuple[int, int]:
        if not isinstance(found, dict | list):
            return 0, 0
        inner = [commas_and_opened(each) for each in (found.values() if isinstance(found, dict) else found)]
        return max(0, len(found) - 1) + sum(each[0] for each in inner), 1 + sum(each[1] for each in inner)

    bare = _without_strings(json.dumps(value).encode())
    assert (bare.count(b","), bare.count(b"{") + bare.count(b"[")) == commas_and_opened(value)


def _peak(found: Any) -> int:
    """The memory in bytes that it takes to parse the review of an object."""
    request = {"uid": "u", "object": found}
    sent = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    body = json.dumps(sent, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(body) <= MAX_BODY_BYTES
    tracemalloc.start()
    try:
        review.parse(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "found",
    [
        {f"k{index}": index for index in range(MAX_COMMAS - 10)},
        [{f"k{index}": f"v{index}"} for index in range(MAX_OBJECTS - 10)],
        [{f"k{index}": [f"v{index}", f"w{index}"]} for index in range(MAX_OBJECTS // 2 - 10)],
        [[[[f"v{index}"]]] for index in range(MAX_OBJECTS // 4)],
        {"a": {f"k{index}": f"v{index}" for index in range(240_000)}},
        ["a" * 7_000_000 + "\U0001f600"],
        ["a" * 15 + "\U0001f600" for _ in range(280_000)],
    ],
)
def test_no_body_takes_more_than_64_megabytes(found: Any) -> None:
    assert _peak(found) < 64e6


def test_small_bodies_are_not_searched() -> None:
    assert _accepted(b"[" * _SMALL)
