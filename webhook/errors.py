"""Errors, by who must act: the pod's author (`Denied`), or nobody because a retry may succeed (`LookupFailed`)."""

import reprlib
from typing import Any

MAX_QUOTED = 120


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


def quoted(value: Any) -> str:
    """A value for a message: in quotes, control characters escaped, cut to `MAX_QUOTED` characters."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    cut = text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"
    return '"' + cut.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
