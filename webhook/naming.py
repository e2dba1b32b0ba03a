"""Names of volumes that are made from mount paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from webhook.pod import JsonObject, find, volume_source

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_HASH_DIGITS = 8


def volume_name(path: str, volume: JsonObject, volumes: Iterable[JsonObject] | None) -> str:
    """A volume name for a mount path: `/mnt/base` is `mnt-base`, as in KServe.

    Where that is no DNS label (Kubernetes: volume names), or names a volume that is not the same as `volume`,
    it is a sanitised stem and eight digits of the path's SHA-256.
    """
    plain = path.strip("/").replace("/", "-")
    taken = find(volumes, plain)
    if len(plain) <= _MAX_LABEL and _DNS_LABEL.fullmatch(plain) and (taken is None or _same(taken, volume)):
        return plain
    stem = re.sub(r"[^a-z0-9]+", "-", plain.lower())[: _MAX_LABEL - _HASH_DIGITS - 1].strip("-")
    return f"{stem}-{hashlib.sha256(path.encode()).hexdigest()[:_HASH_DIGITS]}".lstrip("-")


def _same(taken: JsonObject, volume: JsonObject) -> bool:
    # An emptyDir has no identity beyond its name: one that is there already belongs to somebody else.
    return "emptyDir" not in volume and volume_source(taken) == volume_source(volume)
