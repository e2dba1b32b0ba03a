"""The cache key, which identifies a download."""

import hashlib
import json
import re
from typing import Any

LENGTH = 32
PATTERN = re.compile(rf"[0-9a-f]{{{LENGTH}}}")


def key(uri: str, inputs: Any = ()) -> str:
    """Compute the name of a model's directory in the cache: 128 bits of SHA-256 as 32 hexadecimal digits.

    `inputs` are all other inputs of the download, as JSON values; see `webhook.download.inputs`. Two pods share a key
    when the URI, compared literally, and the inputs are equal. The order of an object's keys does not matter.
    """
    text = json.dumps([uri, inputs], ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
