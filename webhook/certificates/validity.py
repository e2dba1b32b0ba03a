"""The validity of a certificate, read from its encoding.

The library that parses certificates takes 9 MB of memory, and a server that gets its certificate from files needs
nothing else of it. OpenSSL parses the whole certificate before it is served.
"""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import NamedTuple

# At the start of a line, or after a byte order mark: elsewhere OpenSSL sees a comment.
_PEM = re.compile(
    rb"^(?:\xef\xbb\xbf)?-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END", re.DOTALL | re.MULTILINE
)
_TIME = re.compile(r"[0-9]{14}Z")
# Tags of DER (X.690): the version, which is optional, and a time whose year has two digits.
_VERSION, _UTC_TIME = 0xA0, 0x17


class Validity(NamedTuple):
    """The first and the last moment in which a certificate is valid."""

    begins: datetime
    ends: datetime


class _Element(NamedTuple):
    """A value in DER, and where its content is."""

    tag: int
    start: int
    end: int


def read_validity(pem: bytes) -> Validity:
    """The validity of the first certificate in a PEM file (RFC 5280, section 4.1).

    Raises ValueError when there is none, or its validity cannot be read.
    """
    block = _PEM.search(pem)
    if block is None:
        raise ValueError("the certificate's file has no certificate as PEM: the two files may be swapped")
    try:
        return _read(b64decode(block[1]))
    except (IndexError, ValueError):
        raise ValueError("the dates of the certificate cannot be read: issue it again") from None


def _read(der: bytes) -> Validity:
    certificate = _element(der, 0)
    field = _element(der, _element(der, certificate.start).start)
    # Version, if it is there, serial number, signature algorithm, issuer, and then the validity.
    for _ in range(4 if field.tag == _VERSION else 3):
        field = _element(der, field.end)
    begins = _element(der, field.start)
    return Validity(_time(der, begins), _time(der, _element(der, begins.end)))


def _element(der: bytes, at: int) -> _Element:
    start, length = at + 2, der[at + 1]
    if length > 0x7F:  # then it is the number of bytes that the length has
        start += length - 0x80
        length = int.from_bytes(der[at + 2 : start])
    return _Element(der[at], start, start + length)


def _time(der: bytes, element: _Element) -> datetime:
    """A time in UTC, with a year of four digits, or of two from 1950 on (RFC 5280, section 4.1.2.5)."""
    text = der[element.start : element.end].decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
