"""Names of volumes: those of KServe, and those that are derived from mount paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from webhook.pod.pod import JsonObject, find, volume_source

PVC_SOURCE_VOLUME = "kserve-pvc-source"
"""The volume of a single model's claim. KServe's webhook looks for this name."""

PROVISION_VOLUME = "kserve-provision-location"
"""The volume of a single download, and of links to modelcars (with a number from the second on)."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_HASH_DIGITS = 8


def volume_name(path: str, volume: JsonObject, volumes: Iterable[JsonObject] | None) -> str:
    """A volume name for a mount path: `/mnt/base` is `mnt-base`, as in KServe.

    When that is not a DNS label (Kubernetes: volume names), or is the name of a different volume, the name is a
    sanitized stem and eight hexadecimal digits of the path's SHA-256.
    """
    plain = _plain(path)
    taken = find(volumes, plain)
    if len(plain) <= _MAX_LABEL and _DNS_LABEL.fullmatch(plain) and (taken is None or _is_same(taken, volume)):
        return plain
    return _hashed(path)


def is_derived(name: str, path: str) -> bool:
    """Whether a volume has a name that `volume_name` gives for this path."""
    return name == _plain(path) or name == _hashed(path)


def derived_names(path: str) -> tuple[str, str]:
    """The names that `volume_name` gives for this path."""
    return _plain(path), _hashed(path)


def _plain(path: str) -> str:
    return path.strip("/").replace("/", "-")


def _hashed(path: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", _plain(path).lower())[: _MAX_LABEL - _HASH_DIGITS - 1].strip("-")
    return f"{stem}-{hashlib.sha256(path.encode()).hexdigest()[:_HASH_DIGITS]}".lstrip("-")


def _is_same(taken: JsonObject, volume: JsonObject) -> bool:
    # A claim's volume that can serve is used under any name. An emptyDir refers to nothing, so an existing one cannot
    # be recognized and may be used for something else.
    return "image" in volume and volume_source(taken) == volume_source(volume)
