"""Versions of Kubernetes and of container runtimes."""

from __future__ import annotations

import re

Version = tuple[int, int]
"""Major and minor version."""

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")


def parse(text: str) -> Version | None:
    """The version in `v1.35.4-gke.1` or `2.2.0`; None when there is none."""
    match = _NUMBERS.match(text)
    return (int(match[1]), int(match[2])) if match else None


def parse_runtime(text: str) -> tuple[str, Version | None]:
    """The name and version in a node's containerRuntimeVersion, such as `containerd://2.2.0`."""
    name, _, version = text.partition("://")
    return name, parse(version)


def shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
