"""certs/make-certs.sh creates usable certificates."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

SCRIPT = Path(__file__).parents[2] / "certs" / "make-certs.sh"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def _make(*arguments):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_certificate_is_signed_by_the_ca_for_the_given_names(tmp_path):
    run = _make(tmp_path, "webhook.models.svc", "127.0.0.1", "::1")
    assert run.returncode == 0, run.stderr
    authority, certificate = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("ca.crt", "tls.crt")
    )
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["webhook.models.svc"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_the_default_name_is_that_of_the_charts_service(tmp_path):
    _make(tmp_path)
    names = x509.load_pem_x509_certificate((tmp_path / "tls.crt").read_bytes()).extensions
    assert "storage-webhook.storage-webhook.svc" in (
        names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )


def test_an_existing_key_is_kept_and_only_readable_by_its_owner(tmp_path):
    _make(tmp_path)
    key = (tmp_path / "tls.key").read_bytes()
    again = _make(tmp_path)
    assert again.returncode == 1
    assert "already exists" in again.stderr
    assert (tmp_path / "tls.key").read_bytes() == key
    assert (tmp_path / "tls.key").stat().st_mode & 0o077 == 0


def test_the_usage_is_printed_without_a_directory():
    assert "DIRECTORY [NAME ...]" in _make().stderr
