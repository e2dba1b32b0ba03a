"""The number of values in a body, before it is parsed.

Parsing costs up to 40 bytes of memory for one byte of JSON, so a limit of bytes alone would have to be very low.
"""

from __future__ import annotations

from webhook.errors import BadReview

# An object in etcd has at most 1.5 MiB (etcd: max-request-bytes), and the review of an UPDATE carries two. The densest
# that the API server writes are environment variables, such as {"name":"AB","value":"1"}, with the fields of
# managedFields that record them: 16 bytes for each object, 10 for each comma.
MAX_OBJECTS = 200_000
"""The maximum number of JSON objects and lists in a body."""
MAX_COMMAS = 300_000
"""The maximum number of commas between values in a body."""

# The strings are taken apart below, so their number is limited first. Three bytes for each quotation mark.
_MAX_QUOTES = 1_000_000
_SMALL = 512 * 1024
"""Bodies up to this length are not checked: they cost little, whatever they contain."""


def check_number(body: bytes) -> None:
    """Raise BadReview when a body has more values than a review of objects that Kubernetes can store."""
    if len(body) <= _SMALL:
        return
    quotes = body.count(b'"') - body.count(b'\\"')
    if quotes > _MAX_QUOTES:
        raise _too_many()
    bare = _without_strings(body)
    if bare.count(b"{") + bare.count(b"[") > MAX_OBJECTS or bare.count(b",") > MAX_COMMAS:
        raise _too_many()


def _without_strings(body: bytes) -> bytes:
    """The punctuation and the numbers of a JSON text: without escaped quotes, every other part between quotes."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    return b"".join(plain.split(b'"')[::2])


def _too_many() -> BadReview:
    return BadReview(
        f"the body has more than {MAX_OBJECTS:,} objects and lists, or {MAX_COMMAS:,} commas: "
        "Kubernetes stores no objects with so many"
    )
