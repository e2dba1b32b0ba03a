"""Shows an AdmissionReview's answer with its patch decoded: `curl … | python -m tools.answer`."""

from __future__ import annotations

import base64
import json
import sys


def shown(text: str) -> str:
    """The answer, indented; text that is no answer comes back as it is."""
    try:
        response = json.loads(text)["response"]
    except (ValueError, KeyError, TypeError):
        return text
    if "patch" in response:
        response["patch"] = json.loads(base64.b64decode(response["patch"]))
    return json.dumps(response, indent=2)


if __name__ == "__main__":
    print(shown(sys.stdin.read()))
