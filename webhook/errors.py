"""Errors, by who must act: the pod's author (`Denied`), or nobody because a retry may succeed (`LookupFailed`)."""

import re
import reprlib
from typing import Any

MAX_QUOTED = 120

# One slash, or none, is a common mistake, and what follows may be a password all the same.
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(?:/(/)?)?")
# Schemes without user info, where an `@` after the bucket or registry is part of the model's name.
_NAMES = re.compile(r"(?:s3|gs|hf|modelscope|pvc|file|oci(?:\+[a-z]*)?)://[^/:@]*(?::[0-9]{1,5})?/.*", re.DOTALL)
_QUERY = re.compile(r"[?#]")
# The start of a query with a parameter. A `?` alone is also a part of patterns and of sentences.
_PARAMETER = re.compile(r"\?[A-Za-z0-9._~%-]+=")
# The digest of an image reference (OCI distribution specification), which also follows an `@`.
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


class Denied(Exception):
    """The pod is denied; the message tells its author what to change.

    `code` is the HTTP status of the admission response: 422 for invalid content, 403 for content that the
    settings forbid.
    """

    def __init__(self, message: str, code: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Forbidden(Denied):
    """The pod is valid, but requests something that the settings do not allow."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=403)


class LookupFailed(Exception):
    """A read from the API server failed. A retry may succeed."""


class Unavailable(LookupFailed):
    """The API server could not be reached, or responded that it is unavailable or overloaded."""


class BadReview(Exception):
    """The request body is not an AdmissionReview. The response is HTTP 400."""


class ClusterConfigError(Exception):
    """There is no usable configuration of a Kubernetes client; the message names what was tried."""


class _Repr(reprlib.Repr):
    def repr_str(self, x: str, level: int) -> str:
        """Redact before cutting: what is left of a cut URI is not recognized."""
        return super().repr_str(redacted(x), level)


def abbreviated(value: Any) -> str:
    """A JSON value for a message, shortened and without the secrets of URIs."""
    return _Repr().repr(value)


def quoted(value: Any) -> str:
    """A value for a message: in quotes, control characters escaped, cut to `MAX_QUOTED` characters, and redacted."""
    text = redacted(value) if isinstance(value, str) else abbreviated(value)
    cut = text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"
    return '"' + cut.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def redacted(text: str) -> str:
    """A text without what may be a secret in a URI: user info, query and fragment become `***`.

    A password may have any character, also unescaped, so all up to the last `@` is user info. Where that cannot be
    told from the rest, everything after the scheme is left out.
    """
    match = _SCHEME.match(text)
    if match is None:
        return _redacted_inside(text)
    start, rest = match[0], text[match.end() :]
    query = (_QUERY if match[2] else _PARAMETER).search(rest)
    end = query.start() if query else len(rest)
    at = -1 if _NAMES.fullmatch(text.strip()) else rest.rfind("@")
    if at > end:
        return f"{start}***"
    shown = rest[:end]
    if at >= 0 and not _DIGEST.fullmatch(shown[at + 1 :]):
        shown = f"***{shown[at:]}"
    return f"{start}{shown}{query[0]}***" if query else start + shown


def _redacted_inside(text: str) -> str:
    """A text that contains URIs, such as a list of them: cut after the first scheme if a secret may follow."""
    before, separator, rest = text.partition("://")
    if not separator:
        return _redacted_without_scheme(text)
    return f"{before}{separator}***" if any(mark in rest for mark in "@?#") else text


def _redacted_without_scheme(text: str) -> str:
    """A text that may be a URI whose scheme was forgotten, such as `user:password@host/path?token=value`."""
    user_info, at, host = text.rpartition("@")
    if ":" in user_info and not _DIGEST.fullmatch(host):
        text = f"***{at}{host}"
    parameter = _PARAMETER.search(text)
    return f"{text[: parameter.start() + 1]}***" if parameter else text


def shortened(text: str, length: int) -> str:
    """A text cut to `length` characters; `…` marks the cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
