"""TLS contexts, and serving certificates from files that are reloaded when they change."""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from webhook.certificates.validity import Validity, read_validity


class CertificateError(Exception):
    """A certificate or key cannot be used; the message names the file and the reason."""


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
        validity = read_validity(certificate)
        _check_valid_now(validity)
        with _as_file(certificate + b"\n" + key) as path:
            # A trial: failing here changes nothing.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=_no_passphrase)
            context.load_cert_chain(path, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{origin}: {_reason(error)}") from None
    return validity.ends.timestamp()


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to the content, because OpenSSL only reads files. In memory if the system supports it."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else file.name


def _no_passphrase() -> str:
    """Raise ValueError for a key with a passphrase. OpenSSL would ask for it on the terminal."""
    raise ValueError("the key is encrypted: use a key without a passphrase")


def _check_valid_now(validity: Validity) -> None:
    """Raise ValueError for expired and future certificates, which OpenSSL loads."""
    now = datetime.datetime.now(datetime.UTC)
    if now >= validity.ends:
        raise ValueError(f"it expired on {validity.ends:%Y-%m-%d %H:%M} UTC")
    if now < validity.begins:
        raise ValueError(f"it is not valid before {validity.begins:%Y-%m-%d %H:%M} UTC")


# By OpenSSL's name of the reason. It has none for what it cannot parse.
_REASONS = {
    None: "the key or the certificate is not valid PEM",
    "KEY_VALUES_MISMATCH": "the key does not match the certificate",
    "NO_CERTIFICATE_ASSIGNED": "the key does not match the certificate",
    "EE_KEY_TOO_SMALL": "the key is too short: use ECDSA P-256, or RSA with 2048 bits or more",
}


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason) or f"OpenSSL rejects it ({error.reason})"
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
