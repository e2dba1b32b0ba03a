"""HTTP(S) servers that want headers."""

from __future__ import annotations

import re

from webhook.errors import Denied, shown
from webhook.facts import Secret
from webhook.pod import secret_variable
from webhook.settings.model import Credentials
from webhook.steps.credentials.credential import Credential

HOST = "https-host"
HEADERS = "headers"

_HOST = re.compile(r"[-._a-zA-Z0-9:\[\]]+")


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The headers for one host, in the variable where the initializer looks for them.

    A reference, so that the headers' text never stands in the pod. Raises Denied when the host cannot be one.
    """
    if HEADERS not in secret.keys:
        return Credential()
    host = secret.plain.get(HOST, "")
    if not _HOST.fullmatch(host):
        raise Denied(f"Secret {shown(name)}: key {HOST} must hold a host's name, such as models.example.com")
    return Credential((secret_variable(f"{host}-{HEADERS}", name, HEADERS),))
