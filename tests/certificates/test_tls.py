"""Certificate files: loading, reloading, and errors."""

import datetime
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from structlog.testing import CapturingLogger

from tests.serving import HOST, eventually, serving
from webhook.certificates import tls
from webhook.certificates.self_signed import self_signed
from webhook.certificates.tls import CertificateError, CertificateFiles
from webhook.server import server as server_module

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def served_by(running):
    """The serial number of the certificate that the server presents to a new connection."""
    with running.connect() as connection:
        return serial(connection.getpeercert(binary_form=True))


def serial(certificate):
    if isinstance(certificate, Path):
        return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
    return x509.load_der_x509_certificate(certificate).serial_number


@pytest.fixture
def second_directory(tmp_path):
    """A second directory to issue certificates in."""
    directory = tmp_path / "second_directory"
    directory.mkdir()
    return directory


@pytest.fixture
def mounted(tmp_path, authority):
    """A Secret volume as the kubelet creates it: files are links into a directory that is replaced atomically."""
    volume = SecretVolume(tmp_path / "volume")
    volume.update(authority)
    return volume


class SecretVolume:
    def __init__(self, path):
        self.path, self.version = path, 0
        path.mkdir()

    def update(self, authority, **options):
        self.version += 1
        directory = self.path / f"..{self.version}"
        directory.mkdir()
        authority.issue(directory, **options)
        (self.path / "..tmp").symlink_to(directory.name)
        (self.path / "..tmp").rename(self.path / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")

    @property
    def files(self):
        return self.path / "tls.crt", self.path / "tls.key"


@pytest.fixture
def context():
    return tls.server_context()


# --- The first load


def test_a_missing_file_is_reported(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    key.unlink()
    with pytest.raises(CertificateError, match=f"{key}: no such file"):
        CertificateFiles(context, certificate, key)


def test_a_key_that_does_not_match_is_reported(context, tmp_path, second_directory, authority):
    certificate, _ = authority.issue(tmp_path)
    _, other = authority.issue(second_directory)
    with pytest.raises(CertificateError, match=f"{other}: the key does not match the certificate"):
        CertificateFiles(context, certificate, other)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
def test_invalid_pem_is_reported(context, tmp_path, authority, content, which):
    files = authority.issue(tmp_path)
    files[which].write_bytes(content)
    with pytest.raises(CertificateError, match=str(files[which])) as raised:
        CertificateFiles(context, *files)
    assert "\n" not in str(raised.value)


def test_a_key_with_a_passphrase_is_rejected_without_a_prompt(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    locked = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    key.write_bytes(locked.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(CertificateError, match=f"{key}: the key is encrypted"):
        CertificateFiles(context, certificate, key)


def test_a_file_with_a_certificate_and_a_locked_key_is_rejected_without_a_prompt(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"phrase")
    )
    certificate.write_bytes(locked + certificate.read_bytes())
    with pytest.raises(CertificateError, match="the key is encrypted"):
        CertificateFiles(context, certificate, key)


def test_a_word_in_a_comment_makes_no_key_encrypted(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    certificate.write_bytes(b"friendlyName: ENCRYPTED\n" + certificate.read_bytes())
    assert CertificateFiles(context, certificate, key).expires > time.time()


def test_a_key_of_another_kind_does_not_match(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(_unlocked(other))
    with pytest.raises(CertificateError, match="the key does not match the certificate"):
        CertificateFiles(context, certificate, key)


def test_swapped_files_are_reported(context, tmp_path, authority):
    certificate, key = authority.issue(tmp_path)
    with pytest.raises(CertificateError, match="the two files may be swapped"):
        CertificateFiles(context, key, certificate)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "the key is too short"),
        (x25519.X25519PrivateKey.generate(), r"OpenSSL rejects it \([A-Z_]+\)"),
    ],
    ids=["short", "for key exchange only"],
)
def test_a_key_that_cannot_serve_is_named(context, tmp_path, key, reason):
    name, signer = x509.Name([]), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - DAY, NOW + DAY).sign(
        signer, hashes.SHA256()
    )
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(_unlocked(key))
    with pytest.raises(CertificateError, match=reason):
        CertificateFiles(context, *files)


def _unlocked(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_an_expired_certificate_is_rejected(context, tmp_path, authority):
    files = authority.issue(tmp_path, not_before=NOW - 2 * DAY, not_after=NOW - DAY)
    with pytest.raises(CertificateError, match=f"{files[0]} .*it expired on "):
        CertificateFiles(context, *files)


def test_a_certificate_that_is_not_valid_yet_is_rejected(context, tmp_path, authority):
    files = authority.issue(tmp_path, not_before=NOW + DAY, not_after=NOW + 2 * DAY)
    with pytest.raises(CertificateError, match=f"{files[0]} .*it is not valid before "):
        CertificateFiles(context, *files)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_an_unreadable_client_ca_is_reported(tmp_path, content):
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CertificateError, match=f"client CA file {path}: "):
        tls.server_context(path)


# --- The self-signed certificate


def test_the_self_signed_certificate_is_valid_for_its_names(context, tmp_path):
    certificate, key = self_signed(("localhost", HOST))
    tls.load_pem(context, certificate, key)
    client = ssl.create_default_context(cadata=certificate.decode())
    # The default since Python 3.13.
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing, back, forth = (ssl.MemoryBIO() for _ in range(4))
    server_side = context.wrap_bio(incoming, outgoing, server_side=True)
    client_side = client.wrap_bio(back, forth, server_hostname=HOST)
    done = {}
    for _ in range(6):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                pass
        incoming.write(forth.read())
        back.write(outgoing.read())
    assert len(done) == 2


# --- Reloading


def test_unchanged_files_are_not_reloaded(context, mounted):
    files = CertificateFiles(context, *mounted.files)
    assert not files.reload()


def test_expires_is_that_of_the_loaded_certificate(context, mounted, authority):
    files = CertificateFiles(context, *mounted.files)
    mounted.update(authority, not_after=NOW + 3 * DAY)
    assert files.expires > (NOW + 4 * DAY).timestamp()
    assert files.reload()
    assert files.expires == (NOW + 3 * DAY).replace(microsecond=0).timestamp()


@pytest.fixture
def short_poll_interval(monkeypatch):
    monkeypatch.setattr(server_module, "CERTIFICATE_POLL_SECONDS", 0.02)


@pytest.fixture
def events(monkeypatch):
    """The server's log events."""
    logger = CapturingLogger()
    monkeypatch.setattr(server_module, "log", logger)
    return logger.calls


@pytest.mark.usefixtures("short_poll_interval")
def test_an_updated_secret_volume_is_served_to_new_connections(authority, tmp_path, mounted):
    with serving(authority, tmp_path, files=mounted.files) as running, running.client() as client:
        assert client.get("/healthz").status_code == 200
        mounted.update(authority)
        eventually(lambda: served_by(running) == serial(mounted.files[0]))
        assert client.get("/healthz").status_code == 200


@pytest.mark.usefixtures("short_poll_interval")
def test_overwritten_files_are_reloaded(authority, tmp_path):
    files = authority.issue(tmp_path)
    with serving(authority, tmp_path, files=files) as running:
        before = served_by(running)
        authority.issue(tmp_path)
        eventually(lambda: served_by(running) == serial(files[0]))
        assert served_by(running) != before


@pytest.mark.usefixtures("short_poll_interval")
def test_an_invalid_pair_is_rejected_and_the_previous_one_stays(authority, tmp_path, second_directory, events):
    files = authority.issue(tmp_path)
    before = serial(files[0])
    with serving(authority, tmp_path, files=files) as running:
        _, stray = authority.issue(second_directory)
        files[1].write_bytes(stray.read_bytes())
        eventually(lambda: "the key does not match the certificate" in str(events))
        assert served_by(running) == before
        authority.issue(tmp_path, not_before=NOW - 2 * DAY, not_after=NOW - DAY)
        eventually(lambda: "expired on" in str(events))
        time.sleep(0.2)
        assert served_by(running) == before
        files[0].unlink()
        eventually(lambda: "no such file" in str(events))
        assert served_by(running) == before
        authority.issue(tmp_path)
        eventually(lambda: served_by(running) == serial(files[0]))
    # Logged once, not on every poll.
    assert str(events).count("expired on") == 1


@pytest.mark.usefixtures("short_poll_interval")
def test_an_unexpected_error_does_not_stop_reloading(authority, tmp_path, monkeypatch):
    files = authority.issue(tmp_path)
    load, failures = tls.load_files, iter([RuntimeError("never seen before")])

    def fail_once(*arguments):
        for failure in failures:
            raise failure
        load(*arguments)

    with serving(authority, tmp_path, files=files) as running:
        monkeypatch.setattr(tls, "load_files", fail_once)
        authority.issue(tmp_path)
        eventually(lambda: served_by(running) == serial(files[0]))
