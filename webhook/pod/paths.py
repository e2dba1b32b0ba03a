"""Paths as the kubelet resolves them."""

from __future__ import annotations

from typing import Any

PATH_MAX = 4096
"""The longest path of Linux. No process can open a longer one, so such a path equals no other."""


def normal_path(path: Any) -> str:
    """A path as the kubelet resolves it: absolute, without empty segments; "" when it is not a string.

    A path longer than `PATH_MAX` is returned as it is.
    """
    if not isinstance(path, str):
        return ""
    # Almost all paths are normal, and searching for a substring costs less than splitting.
    is_normal = path.startswith("/") and not path.endswith("/") and "//" not in path and "/." not in path
    if is_normal or len(path) > PATH_MAX:
        return path
    # Replacing costs less than splitting and joining, and each pass halves what it replaces.
    path = f"/{path}/"
    for extra in ("/./", "//"):
        while extra in path:
            path = path.replace(extra, "/")
    return path[:-1] or "/"
