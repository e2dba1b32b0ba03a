"""Deployment strategies (Kubernetes: apps/v1 DeploymentStrategy)."""

from __future__ import annotations

import re
from typing import Any

TYPES = ("Recreate", "RollingUpdate")
# The API server's default (Kubernetes: apps/v1).
DEFAULT_ROLLING_UPDATE = {"maxUnavailable": "25%", "maxSurge": "25%"}
_MAX_INT32 = 2**31 - 1
_PERCENT = re.compile(r"(\d{1,3})%")


def parse(value: Any) -> dict[str, Any]:
    """Parse `Recreate`, `RollingUpdate` or a DeploymentStrategy object into an object with the API server's defaults.

    Raises ValueError for a strategy that the API server would reject.
    """
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, dict) or value.get("type", "RollingUpdate") not in TYPES:
        raise ValueError("must be Recreate, RollingUpdate or a DeploymentStrategy object")
    rolling = value.get("rollingUpdate")
    if set(value) - {"type", "rollingUpdate"} or not isinstance(rolling, dict | None):
        raise ValueError(
            "a DeploymentStrategy may only have type and rollingUpdate, and rollingUpdate must be an object"
        )
    kind = value.get("type", "RollingUpdate")
    if kind == "Recreate" and rolling:
        raise ValueError("type Recreate must not have rollingUpdate")
    return {"type": kind, "rollingUpdate": _rolling(rolling)} if rolling else {"type": kind}


def _rolling(value: dict[str, Any]) -> dict[str, Any]:
    if set(value) - {"maxSurge", "maxUnavailable"}:
        raise ValueError("rollingUpdate may only have maxSurge and maxUnavailable")
    parsed = {key: pods(amount) for key, amount in value.items()}
    if len(parsed) == 2 and all(amount in (0, "0%") for amount in parsed.values()):
        raise ValueError("maxSurge and maxUnavailable must not both be 0: no pod could be replaced")
    return {**DEFAULT_ROLLING_UPDATE, **parsed}


def pods(value: Any) -> int | str:
    """Parse a number of pods or a percentage (Kubernetes: IntOrString). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INT32:
        return value
    text = str(value)
    if text.isdecimal() and text.isascii() and len(text) <= 10 and int(text) <= _MAX_INT32:
        return int(text)
    if _PERCENT.fullmatch(text):
        return text
    raise ValueError(f"{text!r:.40} must be a number of pods, such as 1, or a percentage, such as 25%")
