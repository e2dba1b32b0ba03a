"""Kubernetes quantities, without the Kubernetes client.

The grammar is that of k8s.io/apimachinery `resource.Quantity`. A test compares this parser with the one of the
Kubernetes client. Importing the client would take longer than all other work of `storage-webhook mutate`.
"""

import re
from decimal import Decimal
from functools import lru_cache

_GRAMMAR = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3}|[KMGTPE]i|[numkMGTPE]?)", re.ASCII)
_BINARY = {suffix: Decimal(1024) ** (power + 1) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_MAX_LENGTH = 64


@lru_cache(maxsize=1024)
def parse(text: str) -> Decimal:
    """The value of a quantity, in cores or bytes: `100m` is 0.1, `1Gi` is 1073741824.

    Raises ValueError with examples of valid quantities.
    """
    match = _GRAMMAR.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError("not a Kubernetes quantity, such as 100m, 2, 512Mi or 1Gi")
    sign, number, suffix = match.groups()
    return Decimal(sign + number) * _factor(suffix)


def _factor(suffix: str) -> Decimal:
    if suffix in _BINARY:
        return _BINARY[suffix]
    if suffix in _DECIMAL:
        return Decimal(10) ** _DECIMAL[suffix]
    return Decimal(10) ** int(suffix[1:])


def parse_positive(text: str) -> Decimal:
    """Like `parse`, but raises ValueError for negative values also."""
    value = parse(text)
    if value < 0:
        raise ValueError("a resource quantity must not be negative")
    return value
