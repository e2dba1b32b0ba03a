"""Names of environment variables, and which of them stand for a secret."""

from __future__ import annotations

import re

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
MAX_NAME = 253

_SECRET = re.compile(
    r".*(TOKEN|PASSWORD|PASSWD|SECRET|SECRET_ACCESS_KEY|STORAGE_ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|API_KEY)",
    re.IGNORECASE,
)
# Switches of the Hugging Face libraries that end in the same words.
_NO_SECRETS = frozenset({"HF_HUB_DISABLE_IMPLICIT_TOKEN"})


def is_name(text: str) -> bool:
    """Whether this is a valid name of an environment variable (Kubernetes: IsEnvVarName)."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def is_secret(name: str) -> bool:
    """Whether the value of a variable of this name is a secret, such as that of HF_TOKEN or AWS_SECRET_ACCESS_KEY."""
    return name not in _NO_SECRETS and _SECRET.fullmatch(name) is not None
