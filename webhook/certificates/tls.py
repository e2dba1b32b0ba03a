"""TLS contexts and serving certificates: self-signed, or from files that are reloaded when they change."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class CertificateError(Exception):
    """A certificate or key cannot be used; the message names the file and the reason."""


def self_signed(names: Iterable[str], days: int = 30) -> tuple[bytes, bytes]:
    """Create a self-signed certificate for host names and IP addresses. Returns certificate and key as PEM.

    ECDSA P-256: a handshake costs the server half as much as with RSA.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "storage-initializer-webhook (development)")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def server_context(client_ca_file: Path | None = None) -> ssl.SSLContext:
    """Create a TLS context for the server, TLS 1.2 or newer, without a certificate.

    With a client CA, client certificates are verified but optional, because the kubelet's probes have none. The
    admission routes reject requests without one. Raises CertificateError when the CA file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_ca_file is not None:
        try:
            context.load_verify_locations(client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"client CA file {client_ca_file}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def load_files(context: ssl.SSLContext, certificate: Path, key: Path) -> float:
    """Like `load_pem`, from files. Each file is read once, so the checked certificate is the one that is served."""
    try:
        pair = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise CertificateError(f"{error.filename}: {_reason(error)}") from None
    return load_pem(context, *pair, origin=f"certificate {certificate} with key {key}")


def load_pem(context: ssl.SSLContext, certificate: bytes, key: bytes, origin: str = "the certificate") -> float:
    """Load a certificate (PEM, followed by its chain) into a context that may be in use; new connections get it.

    Returns the expiry time in seconds since 1970. Raises CertificateError, which names the `origin`, and does not
    change the context when the pair cannot be parsed, the key does not match or is encrypted, or the certificate is
    not valid now.
    """
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        _check(parsed, key)
        with _as_file(certificate + b"\n" + key) as path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)  # a trial: failing here changes nothing
            context.load_cert_chain(path)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{origin}: {_reason(error)}") from None
    return parsed.not_valid_after_utc.timestamp()


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to the content, because OpenSSL only reads files. In memory if the system supports it."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else file.name


def _check(certificate: x509.Certificate, key: bytes) -> None:
    """Raise ValueError for expired or future certificates, which OpenSSL loads, and for keys with a passphrase."""
    now = datetime.datetime.now(datetime.UTC)
    if now >= certificate.not_valid_after_utc:
        raise ValueError(f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        raise ValueError(f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if b"ENCRYPTED" in key:
        raise ValueError("the key is encrypted: use a key without a passphrase")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, ssl.SSLError):
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        return "the key does not match the certificate" if mismatch else "not valid PEM"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


class CertificateFiles:
    """Certificate and key files, which are reloaded when they change."""

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        self._context = context
        self._files = certificate, key
        self._loaded = self._fingerprint()
        self.expires = load_files(context, certificate, key)
        """Expiry time of the loaded certificate, in seconds since 1970."""

    def reload(self) -> bool:
        """Load the files if they have changed. Returns whether they were loaded.

        Raises CertificateError when they cannot be used; the previous certificate stays loaded.
        """
        found = self._fingerprint()
        if found == self._loaded:
            return False
        self.expires = load_files(self._context, *self._files)
        self._loaded = found
        return True

    def _fingerprint(self) -> tuple[object, ...]:
        # Secret volumes swap the symlink `..data`: the real path changes even if size and time do not.
        return tuple(_identity(path) for path in self._files)


def _identity(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return os.path.realpath(path), status.st_ino, status.st_size, status.st_mtime_ns
