"""The two audiences of an error: the pod's author, who must act, and the cluster, which did not answer."""

import reprlib
from typing import Any

MAX_SHOWN = 120


class Denied(Exception):
    """The pod cannot be admitted as it is; the message tells its author what to change.

    `code` is the HTTP status of the admission response: 422 for content that is wrong,
    403 for content that the settings forbid.
    """

    def __init__(self, message: str, code: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Forbidden(Denied):
    """The pod is well formed and asks for what the settings do not allow."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=403)


class LookupFailed(Exception):
    """The cluster did not answer a read; the same request may well succeed when it is tried again."""


class Unanswered(LookupFailed):
    """The API server could not be reached, or was not able to answer just now; in a moment it may."""


class BadReview(Exception):
    """The bytes that came in are not an AdmissionReview; answered with HTTP 400."""


class ClusterConfigError(Exception):
    """Nothing says where the API server is; the message names what was looked for."""


def shown(value: Any) -> str:
    """A value as it stands in a message: quoted, control characters escaped, cut to `MAX_SHOWN` characters."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    cut = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return '"' + cut.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
