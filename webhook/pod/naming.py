"""Volume names that are derived from mount paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from webhook.pod.pod import JsonObject, find, volume_source

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_HASH_DIGITS = 8


def volume_name(path: str, volume: JsonObject, volumes: Iterable[JsonObject] | None) -> str:
    """A volume name for a mount path: `/mnt/base` is `mnt-base`, as in KServe.

    When that is not a DNS label (Kubernetes: volume names), or is the name of a different volume, the name is a
    sanitized stem and eight hexadecimal digits of the path's SHA-256.
    """
    plain = path.strip("/").replace("/", "-")
    taken = find(volumes, plain)
    if len(plain) <= _MAX_LABEL and _DNS_LABEL.fullmatch(plain) and (taken is None or _is_same(taken, volume)):
        return plain
    stem = re.sub(r"[^a-z0-9]+", "-", plain.lower())[: _MAX_LABEL - _HASH_DIGITS - 1].strip("-")
    return f"{stem}-{hashlib.sha256(path.encode()).hexdigest()[:_HASH_DIGITS]}".lstrip("-")


def _is_same(taken: JsonObject, volume: JsonObject) -> bool:
    # A claim's volume that can serve is used under any name. An emptyDir refers to nothing, so an existing one cannot
    # be recognized and may be used for something else.
    return "image" in volume and volume_source(taken) == volume_source(volume)
