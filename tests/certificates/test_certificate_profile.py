"""What is in the certificates that the webhook issues (RFC 5280; Go's crypto/x509 verifies them in API servers)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.certificates.rotation import Policy, issue, new_ca

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LONG = "webhook." + "a" * 56 + ".svc"


def _issued(*names: str) -> tuple[x509.Certificate, x509.Certificate]:
    """A CA and a serving certificate."""
    policy = Policy(names or ("webhook.models.svc",))
    ca = new_ca(policy, NOW)
    return ca.parse(), issue(ca, policy, NOW).parse()


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind)


def test_only_the_ca_signs_certificates_and_only_serving_ones() -> None:
    ca, serving = _issued()
    of_ca, of_serving = (_extension(each, x509.BasicConstraints) for each in (ca, serving))
    assert (of_ca.value.ca, of_ca.value.path_length, of_serving.value.ca) == (True, 0, False)
    usage, other = (_extension(each, x509.KeyUsage) for each in (ca, serving))
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    assert (other.value.key_cert_sign, other.value.digital_signature) == (False, True)
    assert (usage.value.crl_sign, other.value.crl_sign) == (True, False)


@pytest.mark.parametrize("kind", [x509.BasicConstraints, x509.KeyUsage])
def test_constraints_are_critical(kind: Any) -> None:
    assert [_extension(each, kind).critical for each in _issued()] == [True, True]


def test_the_serving_certificate_is_for_its_names_and_for_servers_only() -> None:
    _, serving = _issued("a.models.svc", "b.models.svc")
    names = _extension(serving, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["a.models.svc", "b.models.svc"]
    assert list(_extension(serving, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_long_name_is_complete_in_the_names_and_cut_in_the_subject() -> None:
    _, serving = _issued(LONG)
    (common_name,) = serving.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(LONG) > len(common_name.value) == 64
    assert _extension(serving, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [LONG]


def test_a_serving_certificate_names_the_key_of_its_ca() -> None:
    ca, serving = _issued()
    key = _extension(ca, x509.SubjectKeyIdentifier).value.digest
    assert _extension(serving, x509.AuthorityKeyIdentifier).value.key_identifier == key


def test_a_serving_certificate_never_outlives_its_ca() -> None:
    policy = Policy(("webhook.models.svc",), ca_lifetime=datetime.timedelta(days=10))
    ca = new_ca(policy, NOW)
    assert issue(ca, policy, NOW).parse().not_valid_after_utc == ca.parse().not_valid_after_utc
