"""Quantities, held against the parser of the Kubernetes client."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from webhook import quantity

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=3), st.sampled_from(SUFFIXES))
def test_a_quantity_is_what_the_kubernetes_client_says(number: Decimal, suffix: str) -> None:
    assert quantity.parse(f"{number}{suffix}") == parse_quantity(f"{number}{suffix}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", Decimal("0.1")),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("+1", Decimal(1)),
        ("1e3", Decimal(1000)),
        ("1E-3", Decimal("0.001")),
        ("1E", Decimal(10**18)),
        ("1Gi", Decimal(2**30)),
    ],
)
def test_all_ways_to_write_a_quantity(text: str, value: Decimal) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 Gi",
        "1\n",
        "Gi",
        ".",
        "1gi",
        "1KI",
        "1K",
        "1mi",
        "0x10",
        "1e",
        "1e3Gi",
        "1_0",
        "\u0661",
        "NaN",
        "1e9999",
        "9" * 65,
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantity.parse(text)


def test_resources_are_never_negative() -> None:
    assert quantity.parse_positive("0") == 0
    with pytest.raises(ValueError, match="negative"):
        quantity.parse_positive("-1")
