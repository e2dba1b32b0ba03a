"""Storage URIs: schemes, checks, and the parts of `pvc://`."""

from __future__ import annotations

import re
from typing import NamedTuple

from webhook.errors import Denied, quoted

MAX_LENGTH = 4096
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
PVC_PREFIX = "pvc://"

# The schemes that are metric label values; any other is counted as "other". Other downloads than these need a
# ClusterStorageContainer.
KNOWN_SCHEMES = frozenset(
    "pvc s3 gs hdfs webhdfs hf modelscope http https oci oci+modelcar oci+native oci+fetch file".split()
)


class ClaimPath(NamedTuple):
    """A path in a PersistentVolumeClaim, without leading and trailing slashes; "" is the root."""

    claim: str
    path: str
    is_directory: bool
    """The URI ends in a slash, or has no path."""

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]


def check(text: str, origin: str) -> str:
    """The URI without leading and trailing white space.

    `origin` is the annotation or setting that denials name. Raises Denied when the URI is empty, too long or
    contains control characters.
    """
    uri = text.strip(" \t\r\n")
    if not uri:
        raise Denied(f'{origin} is empty: set it to the model\'s URI, such as "s3://bucket/model", or remove it')
    if len(uri) > MAX_LENGTH:
        raise Denied(f"{origin} is {len(uri)} characters long: the maximum is {MAX_LENGTH}")
    if _CONTROL.search(uri):
        raise Denied(f"{origin} {quoted(uri)} contains control characters: remove them")
    return uri


def scheme(uri: str) -> str:
    """The URI's scheme in lower case; "" when it has none."""
    name, separator, _ = uri.partition("://")
    return name.lower() if separator and _SCHEME.fullmatch(name) else ""


def has_known_scheme(uri: str) -> bool:
    """Whether KServe's storage initializer knows the scheme, which must be in lower case."""
    name, separator, _ = uri.partition("://")
    return bool(separator) and name in KNOWN_SCHEMES


def source_kind(uri: str) -> str:
    """The URI's scheme as a label for metrics: one of `KNOWN_SCHEMES`, or "other"."""
    name = scheme(uri)
    return name if name in KNOWN_SCHEMES else "other"


def is_claim(uri: str) -> bool:
    """Whether the URI names a claim (`pvc://`)."""
    return uri.startswith(PVC_PREFIX)


def parse_claim(uri: str, origin: str) -> ClaimPath:
    """Parse `pvc://<claim>[/<path>]`. Empty and `.` segments of the path are dropped.

    Raises Denied when the claim's name is not a DNS-1123 subdomain (as Kubernetes requires of
    PersistentVolumeClaims) or the path contains `..`.
    """
    claim, _, path = uri.removeprefix(PVC_PREFIX).partition("/")
    if not claim:
        raise Denied(f"{origin} {quoted(uri)} does not name a claim: use pvc://<claim>/<path>")
    if not is_object_name(claim):
        raise Denied(
            f"{origin} {quoted(uri)}: {quoted(claim)} is not a valid name of a PersistentVolumeClaim: "
            "names consist of lower-case letters, digits, '-' and '.'"
        )
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise Denied(f"{origin} {quoted(uri)}: the path must not contain '..': write the full path")
    return ClaimPath(claim, "/".join(segments), is_directory=not segments or path.endswith("/"))


def is_object_name(name: str) -> bool:
    """Whether this is a valid name of a claim, a Secret or a service account (Kubernetes: DNS-1123 subdomain)."""
    return len(name) <= 253 and _DNS_SUBDOMAIN.fullmatch(name) is not None
