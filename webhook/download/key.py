"""The cache key, which identifies a download."""

import hashlib
import json
import re

LENGTH = 32
PATTERN = re.compile(rf"[0-9a-f]{{{LENGTH}}}")


def key(uri: str, **pins: str | None) -> str:
    """Compute the name of a model's directory in the cache: 128 bits of SHA-256 as 32 hexadecimal digits.

    `pins` are the other inputs of the download: a revision, the storage key, parameters. A pin that is None is
    ignored. Two pods share a key when the URI, compared literally, and all pins are equal.
    """
    given = sorted((name, value) for name, value in pins.items() if value is not None)
    text = json.dumps([uri, given], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
