from hypothesis import given
from hypothesis import strategies as st

from webhook.download.key import PATTERN, key

URI = "hf://org/model:v1"


def test_key_is_stable():
    """A different digest would download every cached model again."""
    assert key(URI) == "728628581dd0d298ac23b7e737d4933d"
    assert key(URI, storage_key="minio", revision=None) == key(URI, storage_key="minio")


@given(st.text(), st.dictionaries(st.sampled_from(["storage_key", "revision", "parameters"]), st.text()))
def test_key_is_a_directory_name_and_independent_of_the_order(uri: str, pins: dict[str, str]):
    assert PATTERN.fullmatch(key(uri, **pins))
    assert key(uri, **pins) == key(uri, **dict(reversed(pins.items())))


def test_different_inputs_give_different_keys():
    keys = [
        key(URI),
        key(URI + "/"),
        key(URI, storage_key=""),
        key(URI, storage_key="minio"),
        key(URI, revision="minio"),
        key(URI, storage_key="a", revision="b"),
        key(URI, storage_key="b", revision="a"),
    ]
    assert len(set(keys)) == len(keys)
