"""When certificates change: a pure state machine, one small step at a time.

Every step keeps one promise: what any replica serves is trusted by what any API server may still have read. So a new
CA is published before anything is signed by it, and an old one is withdrawn only when nothing signed by it is served.
Between two steps the state rests, published, for `Policy.settle`, which covers the slowest reader.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of nodes differ; a certificate is valid from a little before it was made.
_MAX_BACKDATED = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def loaded(self) -> x509.Certificate:
        """The certificate, parsed. Raises ValueError when it is none."""
        return x509.load_pem_x509_certificate(self.certificate)


@dataclass(frozen=True, slots=True)
class Policy:
    """How long things last."""

    names: tuple[str, ...]
    """DNS names that the serving certificate is for: those of the Service."""
    ca_lifetime: datetime.timedelta = datetime.timedelta(days=730)
    serving_lifetime: datetime.timedelta = datetime.timedelta(days=90)
    settle: datetime.timedelta = datetime.timedelta(minutes=10)
    """How long a published state rests before the next step: longer than any replica or API server takes to see it."""


@dataclass(frozen=True, slots=True)
class SelfManaged:
    """Certificates that the webhook makes and keeps itself."""

    secret: str
    """`NAMESPACE/NAME` of the Secret that holds them."""
    names: tuple[str, ...]
    """DNS names of the Service."""
    configurations: tuple[str, ...]
    """Names of the webhook configurations that call us."""
    ca_days: float
    days: float
    settle_seconds: float


@dataclass(frozen=True, slots=True)
class State:
    """All that the replicas share, kept in one Secret."""

    ca: Pair
    """Signs the serving certificate."""
    serving: Pair
    trusted: tuple[bytes, ...]
    """CA certificates (PEM) that API servers are to trust: the signing one, and what comes or goes."""
    next_ca: Pair | None = None
    """Published, and signs from the next step on."""
    published: datetime.datetime | None = None
    """Since when every webhook configuration carries `trusted`; None when that was not seen yet."""

    @property
    def bundle(self) -> bytes:
        """The `caBundle` of the webhook configurations."""
        return b"".join(self.trusted)


def begin(policy: Policy, now: datetime.datetime, found: bytes = b"") -> State:
    """The first state. `found`, the caBundle that the configurations carry, stays trusted: it may still be served."""
    ca = new_ca(policy, now)
    return State(ca, issue(ca, policy, now), (ca.certificate, *_still_valid(_split(found), now)))


def advance(state: State, policy: Policy, now: datetime.datetime) -> State:
    """The state after the next step that is due; the very same when none is."""
    if now >= _renewal(state.serving) or _names(state.serving) != set(policy.names):
        return replace(state, serving=issue(state.ca, policy, now), published=None)
    if state.next_ca is None and now >= _renewal(state.ca):
        coming = new_ca(policy, now)
        return replace(state, next_ca=coming, trusted=(*state.trusted, coming.certificate), published=None)
    if state.published is None or now - state.published < policy.settle:
        return state
    if state.next_ca is not None:
        return replace(state, ca=state.next_ca, next_ca=None, serving=issue(state.next_ca, policy, now), published=None)
    if state.trusted != (state.ca.certificate,):
        return replace(state, trusted=(state.ca.certificate,), published=None)
    return state


def new_ca(policy: Policy, now: datetime.datetime) -> Pair:
    """A new certificate authority (ECDSA P-256) for serving certificates alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own, so that two authorities in one bundle are told apart by the name as well.
    name = _name(f"storage-initializer-webhook CA {secrets.token_hex(4)}")
    builder = _builder(name, name, key, now, policy.ca_lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(ca: Pair, policy: Policy, now: datetime.datetime) -> Pair:
    """A new serving certificate for the policy's names, signed by `ca`; it never outlives its CA."""
    authority = ca.loaded()
    authority_key = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    lifetime = min(policy.serving_lifetime, authority.not_valid_after_utc - now)
    builder = _builder(_name(policy.names[0][:64]), authority.subject, key, now, lifetime)
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in policy.names])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    return _pair(builder.sign(authority_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_MAX_BACKDATED, lifetime / 10))
        .not_valid_after(now + lifetime)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Pair(certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def _renewal(pair: Pair) -> datetime.datetime:
    """Two thirds into a certificate's life: late enough to be rare, early enough to fail for weeks unnoticed."""
    certificate = pair.loaded()
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * 2 / 3


def _names(pair: Pair) -> set[str]:
    try:
        extension = pair.loaded().extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(extension.value.get_values_for_type(x509.DNSName))


def _split(bundle: bytes) -> tuple[bytes, ...]:
    """The certificates of a bundle, each as PEM; none when it cannot be read, since then nobody can trust it."""
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return ()
    return tuple(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _still_valid(certificates: tuple[bytes, ...], now: datetime.datetime) -> tuple[bytes, ...]:
    return tuple(pem for pem in certificates if x509.load_pem_x509_certificate(pem).not_valid_after_utc > now)


def check(state: State) -> None:
    """Raises ValueError when the parts do not belong together: what was read back may have been edited."""
    authority = state.ca.loaded()
    state.serving.loaded().verify_directly_issued_by(authority)
    for pair in (state.ca, state.serving, *((state.next_ca,) if state.next_ca else ())):
        key = serialization.load_pem_private_key(pair.key, None)
        if key.public_key() != pair.loaded().public_key():
            raise ValueError("a key does not belong to its certificate")
    if state.ca.certificate not in state.trusted:
        raise ValueError("the signing CA is not among the trusted ones")
