"""Headers for HTTP(S) servers."""

from __future__ import annotations

import re

from webhook.cluster.facts import Secret
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, find, secret_variable
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.credential import Credential

HOST = "https-host"
HEADERS = "headers"

_HOST = re.compile(r"[-._a-zA-Z0-9:\[\]]+")
# The host of a URL, without user, port and the brackets of IPv6 (RFC 3986).
_HOST_OF_URL = re.compile(r"https?://(?:[^/?#]*@)?(?:\[([^]/?#]*)\]|([^/?#:]*))", re.IGNORECASE)


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The headers for one host, as a variable that the init container reads.

    The variable is a reference, so the pod does not contain the headers. Raises Denied when the host name is invalid.
    """
    if HEADERS not in secret.keys:
        return Credential()
    host = secret.plain.get(HOST, "")
    if not _HOST.fullmatch(host):
        raise Denied(f"Secret {quoted(name)}: key {HOST} must be a host name, such as models.example.com")
    return Credential((secret_variable(_variable(host), name, HEADERS),))


def has_headers(container: JsonObject, uri: str) -> bool:
    """Whether the container has the headers for the host of this URI."""
    found = _HOST_OF_URL.match(uri)
    host = (found[1] or found[2]).lower() if found else ""
    return find(container.get("env"), _variable(host)) is not None


def _variable(host: str) -> str:
    return f"{host}-{HEADERS}"
