"""The validity of certificates: what is read is what a complete parser reads."""

from __future__ import annotations

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from webhook.certificates.validity import read_validity

KEY = ec.generate_private_key(ec.SECP256R1())
# Times in certificates have whole seconds. The builder makes none before 1950.
MOMENTS = st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)
PERIODS = st.lists(MOMENTS, min_size=2, max_size=2, unique=True).map(sorted)


def certificate(period, serial=1, organizations=(), names=()):
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    builder = x509.CertificateBuilder(
        x509.Name(attributes), x509.Name([]), KEY.public_key(), serial, period[0], period[1]
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def der(tag, *parts):
    content = b"".join(parts)
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content


def version_1(begins, ends):
    return der(0x30, der(0x30, der(0x02, b"\x01"), der(0x30), der(0x30), der(0x30, begins, ends)))


def pem(content, label="CERTIFICATE"):
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(content) + f"-----END {label}-----\n".encode()


@given(
    PERIODS,
    st.integers(1, 2**159 - 1),
    st.lists(st.text("ab", min_size=1, max_size=64), max_size=30),
    st.lists(st.just("webhook.example"), max_size=40),
)
def test_all_certificates_are_read_like_by_a_complete_parser(period, serial, organizations, names):
    text = certificate(period, serial, organizations, names)
    expected = x509.load_pem_x509_certificate(text)
    assert read_validity(text) == (expected.not_valid_before_utc, expected.not_valid_after_utc)


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_a_certificate_of_version_1_has_no_field_for_its_version(label):
    text = pem(version_1(der(0x17, b"491231235959Z"), der(0x18, b"20500101000000Z")), label)
    begins, ends = read_validity(text)
    assert (begins.isoformat(), ends.isoformat()) == ("2049-12-31T23:59:59+00:00", "2050-01-01T00:00:00+00:00")


def test_the_first_certificate_counts():
    first, second = (datetime.datetime(year, 1, 1) for year in (2025, 2026))
    chain = b"a comment\n" + certificate([first, second]) + certificate([second, datetime.datetime(2027, 1, 1)])
    assert read_validity(chain).ends.year == 2026


def test_a_certificate_in_a_comment_does_not_count():
    years = [datetime.datetime(year, 1, 1) for year in (2024, 2025, 2026)]
    old, new = certificate(years[:2]), certificate(years[1:])
    commented = b"".join(b"# " + line for line in old.splitlines(keepends=True))
    assert read_validity(commented + b"after -----BEGIN CERTIFICATE-----\n" + new) == read_validity(new)


def test_a_byte_order_mark_is_no_part_of_the_certificate():
    first, second = WHOLE, certificate([datetime.datetime(2024, 1, 1), datetime.datetime(2025, 1, 1)])
    assert read_validity(b"\xef\xbb\xbf" + first + second) == read_validity(first)


@pytest.mark.parametrize(
    "time", ["3001011234Z", "2030010112345Z", "20300101112345z", "203001 1120000Z", "20300230000000Z"]
)
def test_a_malformed_time_is_an_error(time):
    with pytest.raises(ValueError, match="the dates of the certificate cannot be read"):
        read_validity(pem(version_1(der(0x18, time.encode()), der(0x18, b"20500101000000Z"))))


def test_a_file_without_a_certificate_is_an_error():
    with pytest.raises(ValueError, match="file has no certificate as PEM"):
        read_validity(pem(b"", "PRIVATE KEY"))


# Its issuer alone is longer than the parts of it that are tried.
WHOLE = certificate([datetime.datetime(2025, 1, 1), datetime.datetime(2026, 1, 1)], organizations=["a" * 64] * 5)
CERTIFICATE = base64.b64decode(b"".join(WHOLE.splitlines()[1:-1]))


@given(st.binary(max_size=300) | st.integers(0, 300).map(lambda size: CERTIFICATE[:size]))
def test_what_is_no_certificate_is_an_error(content):
    with pytest.raises(ValueError, match="the dates of the certificate cannot be read"):
        read_validity(pem(content))
