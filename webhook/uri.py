"""What a storage URI is: where a model lies, as one word."""

from __future__ import annotations

import re
from typing import NamedTuple

from webhook.errors import Denied, shown

MAX_LENGTH = 4096
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
PVC_PREFIX = "pvc://"

# Schemes that get a metric label of their own; any other is counted as "other".
KNOWN_SCHEMES = frozenset(
    "pvc s3 gs hdfs webhdfs hf modelscope http https oci oci+modelcar oci+native oci+fetch file".split()
)


class ClaimPath(NamedTuple):
    """A place in a PersistentVolumeClaim: its name and a path without outer slashes ("" is the claim's root)."""

    claim: str
    path: str
    is_directory: bool
    """The URI ended in a slash, or named the claim's root."""

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]


def check(text: str, origin: str) -> str:
    """The URI without outer white space; `origin` (an annotation) is named in the denial.

    Raises Denied when it is empty, too long or holds control characters.
    """
    uri = text.strip(" \t\r\n")
    if not uri:
        raise Denied(f'{origin} is empty: give the model\'s URI, such as "s3://bucket/model", or remove it')
    if len(uri) > MAX_LENGTH:
        raise Denied(f"{origin} is {len(uri)} characters long: a storage URI has at most {MAX_LENGTH}")
    if _CONTROL.search(uri):
        raise Denied(f"{origin} {shown(uri)} holds control characters: remove them")
    return uri


def scheme(uri: str) -> str:
    """What stands before `://`, in lower case; "" when nothing does."""
    match = _SCHEME.match(uri)
    return match.group(1).lower() if match else ""


def source_kind(uri: str) -> str:
    """The URI's scheme as a label for metrics: one of `KNOWN_SCHEMES`, or "other"."""
    name = scheme(uri)
    return name if name in KNOWN_SCHEMES else "other"


def is_claim(uri: str) -> bool:
    """Whether the model lies in a claim (`pvc://`)."""
    return uri.startswith(PVC_PREFIX)


def parse_claim(uri: str, origin: str) -> ClaimPath:
    """`pvc://<claim>[/<path>]` taken apart; empty and `.` segments of the path are dropped.

    Raises Denied when the claim's name is not a DNS-1123 subdomain (what Kubernetes allows for
    PersistentVolumeClaims) or the path climbs with `..`.
    """
    claim, _, path = uri.removeprefix(PVC_PREFIX).partition("/")
    if not claim:
        raise Denied(f"{origin} {shown(uri)} names no claim: write pvc://<claim>/<path>")
    if not is_object_name(claim):
        raise Denied(
            f"{origin} {shown(uri)}: {shown(claim)} cannot be the name of a PersistentVolumeClaim; "
            "names are lower-case letters, digits, '-' and '.'"
        )
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise Denied(f"{origin} {shown(uri)}: the path must not contain '..'; name the directory itself")
    return ClaimPath(claim, "/".join(segments), is_directory=not segments or path.endswith("/"))


def is_object_name(name: str) -> bool:
    """Whether a claim, a Secret or a service account can have this name (Kubernetes: DNS-1123 subdomain)."""
    return len(name) <= 253 and _DNS_SUBDOMAIN.fullmatch(name) is not None
