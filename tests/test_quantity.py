"""Quantities, compared with the parser of the Kubernetes client."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from webhook import quantity

digits = st.text("0123456789", min_size=1, max_size=12)
numbers = st.one_of(
    digits,
    st.builds("{}.{}".format, digits, digits),
    st.builds("{}.".format, digits),
    st.builds(".{}".format, digits),
)
exponents = st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 40))
suffixes = st.sampled_from(["", *"numkMGTPE", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]) | exponents
quantities = st.builds("{}{}{}".format, st.sampled_from(["", "+", "-"]), numbers, suffixes)


@given(quantities)
def test_quantities_are_parsed_like_by_the_kubernetes_client(text: str) -> None:
    assert quantity.parse(text) == parse_quantity(text)


@given(st.text(st.sampled_from("0123456789.+-eEKMGTPikmnu _\n\u0663"), max_size=8) | st.text(max_size=8))
def test_accepted_text_is_a_quantity_for_the_kubernetes_client(text: str) -> None:
    try:
        value = quantity.parse(text)
    except ValueError:
        return
    assert value == parse_quantity(text)


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
        ("7n", Decimal("7E-9")),
        ("7u", Decimal("7E-6")),
        *((f"7{suffix}", Decimal(7) * 1000**power) for power, suffix in enumerate("kMGTPE", 1)),
        *((f"7{suffix}i", Decimal(7) * 1024**power) for power, suffix in enumerate("KMGTPE", 1)),
    ],
)
def test_all_notations(text: str, value: Decimal) -> None:
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
def test_invalid_quantities_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantity.parse(text)


def test_negative_resources_are_rejected() -> None:
    assert quantity.parse_positive("0") == 0
    with pytest.raises(ValueError, match="negative"):
        quantity.parse_positive("-1")
