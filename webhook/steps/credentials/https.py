"""Headers for HTTP(S) servers."""

from __future__ import annotations

import re

from webhook.cluster.facts import Secret
from webhook.errors import Denied, quoted
from webhook.pod.pod import secret_variable
from webhook.settings.model import Credentials
from webhook.steps.credentials.credential import Credential

HOST = "https-host"
HEADERS = "headers"

_HOST = re.compile(r"[-._a-zA-Z0-9:\[\]]+")


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The headers for one host, as a variable that the init container reads.

    The variable is a reference, so the pod does not contain the headers. Raises Denied when the host name is invalid.
    """
    if HEADERS not in secret.keys:
        return Credential()
    host = secret.plain.get(HOST, "")
    if not _HOST.fullmatch(host):
        raise Denied(f"Secret {quoted(name)}: key {HOST} must be a host name, such as models.example.com")
    return Credential((secret_variable(f"{host}-{HEADERS}", name, HEADERS),))
