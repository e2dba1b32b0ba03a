"""What a Deployment's strategy is (Kubernetes: apps/v1 DeploymentStrategy)."""

from __future__ import annotations

import re
from typing import Any

TYPES = ("Recreate", "RollingUpdate")
# What the API server fills in (Kubernetes: apps/v1 defaults).
DEFAULT_ROLLING_UPDATE = {"maxUnavailable": "25%", "maxSurge": "25%"}
_PERCENT = re.compile(r"(\d{1,3})%")


def parse(value: Any) -> dict[str, Any]:
    """`Recreate`, `RollingUpdate` or the API's own object, as the object the API server makes of it.

    Raises ValueError for what the API server would reject, in words.
    """
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, dict) or value.get("type", "RollingUpdate") not in TYPES:
        raise ValueError("must be Recreate, RollingUpdate or a DeploymentStrategy object")
    rolling = value.get("rollingUpdate")
    if set(value) - {"type", "rollingUpdate"} or not isinstance(rolling, dict | None):
        raise ValueError("a DeploymentStrategy has only type and rollingUpdate, an object")
    kind = value.get("type", "RollingUpdate")
    if kind == "Recreate" and rolling:
        raise ValueError("Recreate takes no rollingUpdate")
    return {"type": kind, "rollingUpdate": _rolling(rolling)} if rolling else {"type": kind}


def _rolling(value: dict[str, Any]) -> dict[str, Any]:
    if set(value) - {"maxSurge", "maxUnavailable"}:
        raise ValueError("rollingUpdate has only maxSurge and maxUnavailable")
    parsed = {key: pods(amount) for key, amount in value.items()}
    if len(parsed) == 2 and all(amount in (0, "0%") for amount in parsed.values()):
        raise ValueError("maxSurge and maxUnavailable must not both be 0: no pod could ever be replaced")
    return {**DEFAULT_ROLLING_UPDATE, **parsed}


def pods(value: Any) -> int | str:
    """A number of pods or a percentage, as the API server takes it. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = str(value)
    if text.isdigit():
        return int(text)
    if _PERCENT.fullmatch(text):
        return text
    raise ValueError(f"{text!r:.40} must be a number of pods, such as 1, or a percentage, such as 25%")
