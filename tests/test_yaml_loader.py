"""YAML is read like kubectl does, and written so that all parsers read the same values."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.yaml_loader import dump, load

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON.filter(lambda value: value is not None))
def test_a_dumped_value_is_loaded_unchanged(value):
    (loaded,) = load(dump([value]))
    assert loaded == value


@settings(deadline=None)
@given(JSON)
def test_a_yaml_1_1_parser_reads_the_same(value):
    (loaded,) = yaml.safe_load_all(dump([value]))
    assert loaded == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("8080:80", "8080:80"),
        ("1e3", 1000.0),
        ("12e03", 12000.0),
        (".5", 0.5),
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("1_000", 1000),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("=", "="),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("99999999999999999999", 1e20),
        ("{7: a, true: b, null: c, 1.5: d}", {"7": "a", "true": "b", "null": "c", "1.5": "d"}),
    ],
)
def test_unquoted_values_have_the_types_of_kubectl(text, value):
    (found,) = load(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


AMBIGUOUS_STRINGS = (
    "1e3 12e03 1.2e-5 0o17 0x1F 012 1_000 y N yes off null ~ 2024-01-01 12:30 .5 +1 .inf = << 1. - ? # {} [a] *a &a"
)


@pytest.mark.parametrize("text", AMBIGUOUS_STRINGS.split())
def test_ambiguous_strings_are_quoted(text):
    (found,) = load(f"a: '{text}'")
    assert found == {"a": text}
    assert dump([found]) == f"a: '{text}'\n"


def test_multi_line_strings_are_preserved():
    text = {"script": "#!/bin/sh\n\n  echo  'a'\t\n\n", "tail": "no end\n\n\n"}
    assert load(dump([text])) == [text]


def test_json_that_is_not_valid_yaml_is_loaded():
    assert load('{\t"a": "\\/\\ud83d\\ude00"}') == [{"a": "/😀"}]


@pytest.mark.parametrize(
    "text",
    [
        "a: !!binary aGk=",
        "a: !!timestamp 2024-01-01",
        "a: !!set {b}",
        "a: !!python/object:os.system {}",
        "a: [",
        "a: \x00",
    ],
)
def test_yaml_without_a_json_equivalent_is_rejected(text):
    with pytest.raises(ValueError, match="neither JSON nor YAML"):
        load(text)


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200, "- " * 200 + "a"])
def test_too_deep_nesting_is_rejected(text):
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        load(text)


def test_very_long_numbers_are_rejected():
    with pytest.raises(ValueError, match="neither JSON nor YAML"):
        load("a: " + "9" * 10_000)


def test_large_numbers_in_json_stay_as_they_are():
    assert load('{"a": 99999999999999999999}') == [{"a": 99999999999999999999}]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[" * 100_000, "nested deeper than 100 levels", id="endless-nesting"),
        pytest.param(BOMB, "more than 1,000,000 values", id="nested-aliases"),
        pytest.param("a: &x {b: &y [*x]}", r"alias \*x is recursive \(line 1", id="recursive-alias"),
        pytest.param("\ud800", "surrogates", id="surrogate"),
    ],
)
def test_input_that_would_exhaust_resources_is_rejected(text, reason):
    with pytest.raises(ValueError, match=reason):
        load(text)


def test_aliases_are_expanded():
    assert load("a: &x {b: 1}\nc: *x") == [{"a": {"b": 1}, "c": {"b": 1}}]


@given(st.text(st.sampled_from("[]{}:,&*!|>-?#'\" \n\tab1<=~%@`"), max_size=60))
def test_any_text_is_loaded_or_rejected_with_a_reason(text):
    try:
        load(text)
    except ValueError as error:
        assert "neither JSON nor YAML: " in str(error) or "nested deeper" in str(error)


@pytest.mark.parametrize("text", ["!!int '" + "1:" * 60_000 + "1'", "!!int '" + "1" * 5_000 + "'", "!!int 1:30"])
def test_tagged_integers_are_those_of_kubectl(text):
    with pytest.raises(ValueError, match="not an integer"):
        load(f"a: {text}")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028"])
def test_directives_are_counted_after_any_line_break(end):
    with pytest.raises(ValueError, match="directives"):
        load("".join(f"%TAG !a{number}! x{end}" for number in range(2_000)) + "---\na: b")
