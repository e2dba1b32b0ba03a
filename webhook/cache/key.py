"""What makes two downloads the same."""

import hashlib
import json
import re

LENGTH = 32
PATTERN = re.compile(rf"[0-9a-f]{{{LENGTH}}}")


def key(uri: str, **pins: str | None) -> str:
    """The name of a model's directory in the cache: 128 bits of SHA-256 as 32 hexadecimal digits.

    `pins` is all else by which the pod says what it downloads, or with whose credentials: a revision, the
    storage key, parameters. A pin that is None counts as not given. Pods agree on the key when they agree on
    the URI, character by character, and on every pin.
    """
    given = sorted((name, value) for name, value in pins.items() if value is not None)
    text = json.dumps([uri, given], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
