"""Print an AdmissionReview response with its patch decoded: `curl … | python -m tools.show_response`."""

from __future__ import annotations

import base64
import json
import sys


def quoted(text: str) -> str:
    """The response as indented JSON. Other text is returned unchanged."""
    try:
        response = json.loads(text)["response"]
    except (ValueError, KeyError, TypeError):
        return text
    if "patch" in response:
        response["patch"] = json.loads(base64.b64decode(response["patch"]))
    return json.dumps(response, indent=2)


if __name__ == "__main__":
    print(quoted(sys.stdin.read()))
