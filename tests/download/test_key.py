from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webhook.download.key import PATTERN, key

URI = "hf://org/model:v1"

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def reordered(value: Any) -> Any:
    """The same JSON value with the keys of its objects in another order."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_key_is_stable():
    """A different digest would download every cached model again."""
    assert key(URI) == "728628581dd0d298ac23b7e737d4933d"
    assert key(URI, {"args": [URI, "{}"]}) == "119f970780cd8221009c10da62f05dba"


@given(st.text(), json_values)
def test_key_is_a_directory_name_and_independent_of_the_order(uri: str, inputs: Any):
    assert PATTERN.fullmatch(key(uri, inputs))
    assert key(uri, inputs) == key(uri, reordered(inputs))


def test_different_inputs_give_different_keys():
    keys = [
        key(URI),
        key(URI + "/"),
        key(URI, {"image": ""}),
        key(URI, {"image": "a"}),
        key(URI, {"command": "a"}),
        key(URI, {"image": "a", "command": "b"}),
        key(URI, {"image": "b", "command": "a"}),
        key(URI, [{"name": "a"}, {"name": "b"}]),
        key(URI, [{"name": "b"}, {"name": "a"}]),
    ]
    assert len(set(keys)) == len(keys)
