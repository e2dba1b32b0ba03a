"""Certificate rotation as a pure state machine.

Invariant: every certificate that a replica may serve is trusted by every CA bundle that an API server may use. A new
CA is therefore published before it signs, and an old CA is removed after no replica serves a certificate that it
signed. Between two steps, a state stays published for `Policy.propagation`, which covers the slowest replica and API
server.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Certificates are backdated, because the clocks of nodes differ.
_MAX_BACKDATING = datetime.timedelta(hours=1)
# X.509 times have whole seconds. A CA that expires sooner cannot issue a certificate.
_MIN_LIFETIME = datetime.timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def parse(self) -> x509.Certificate:
        """Parse the certificate. Raises ValueError when it is invalid."""
        return x509.load_pem_x509_certificate(self.certificate)


@dataclass(frozen=True, slots=True)
class Policy:
    """Names and lifetimes of certificates."""

    names: tuple[str, ...]
    """DNS names in the serving certificate: those of the Service."""
    ca_lifetime: datetime.timedelta = datetime.timedelta(days=730)
    serving_lifetime: datetime.timedelta = datetime.timedelta(days=90)
    propagation: datetime.timedelta = datetime.timedelta(minutes=10)
    """How long a published state is kept before the next step, so that every replica and API server has seen it."""


@dataclass(frozen=True, slots=True)
class State:
    """The state that the replicas share, stored in one Secret."""

    ca: Pair
    """Signs the serving certificate."""
    serving: Pair
    trusted: tuple[bytes, ...]
    """CA certificates (PEM) to publish: the signing one, and those that are being added or removed."""
    next_ca: Pair | None = None
    """A CA that is published and signs after the next step."""
    published: datetime.datetime | None = None
    """Since when every webhook configuration contains `trusted`; None when this is not confirmed yet."""

    @property
    def bundle(self) -> bytes:
        """The `caBundle` of the webhook configurations."""
        return b"".join(self.trusted)


def initial_state(policy: Policy, now: datetime.datetime, published_bundle: bytes = b"") -> State:
    """Create the first state. The CAs in the published caBundle stay trusted: they may still be in use."""
    ca = new_ca(policy, now)
    return State(ca, issue(ca, policy, now), (ca.certificate, *_unexpired(_split(published_bundle), now)))


def advance(state: State, policy: Policy, now: datetime.datetime) -> State:
    """Return the state after the next due step; the same object when no step is due.

    A CA that is not valid now is replaced at once: no certificate that it signs is accepted by an API server.
    """
    if not is_ca_valid(state, now):
        return _with_new_ca(state, policy, now)
    if (
        now >= _renewal(state.serving)
        or not _is_valid(state.serving, now)
        or _names(state.serving) != set(policy.names)
    ):
        return replace(state, serving=issue(state.ca, policy, now), published=None)
    # A next CA that expired before it could sign is replaced, like one that is not there yet.
    lacks_next_ca = state.next_ca is None or not _is_valid(state.next_ca, now)
    if lacks_next_ca and (state.next_ca is not None or now >= _renewal(state.ca)):
        next_ca = new_ca(policy, now)
        return replace(state, next_ca=next_ca, trusted=(*state.trusted, next_ca.certificate), published=None)
    if state.published is None or now - state.published < policy.propagation:
        return state
    if state.next_ca is not None:
        return replace(state, ca=state.next_ca, next_ca=None, serving=issue(state.next_ca, policy, now), published=None)
    signing_only = (state.ca.certificate,)
    return state if state.trusted == signing_only else replace(state, trusted=signing_only, published=None)


def is_ca_valid(state: State, now: datetime.datetime) -> bool:
    """Whether the signing CA is valid now. It is not after a long sleep, or when an old Secret was restored."""
    return _is_valid(state.ca, now)


def validity(pair: Pair) -> str:
    """The time in which a certificate is valid, for a message."""
    certificate = pair.parse()
    return f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _with_new_ca(state: State, policy: Policy, now: datetime.datetime) -> State:
    """Begin anew: with the next CA, which is published already, or else with a new one."""
    prepared = state.next_ca
    ca = prepared if prepared is not None and _is_valid(prepared, now) else new_ca(policy, now)
    trusted = dict.fromkeys((ca.certificate, *_unexpired(state.trusted, now)))
    return State(ca, issue(ca, policy, now), tuple(trusted))


def new_ca(policy: Policy, now: datetime.datetime) -> Pair:
    """Create a certificate authority (ECDSA P-256) that signs serving certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A unique name, so that clients can distinguish two CAs in one bundle.
    name = _name(f"storage-initializer-webhook CA {secrets.token_hex(4)}")
    builder = _builder(name, name, key, now, policy.ca_lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(ca: Pair, policy: Policy, now: datetime.datetime) -> Pair:
    """Issue a serving certificate for the policy's names, signed by `ca`. It expires no later than its CA."""
    authority = ca.parse()
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
        .not_valid_before(now - min(_MAX_BACKDATING, lifetime / 10))
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
    """When to renew: after two thirds of the lifetime, which leaves weeks to repair a failing renewal."""
    certificate = pair.parse()
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * 2 / 3


def _is_valid(pair: Pair, now: datetime.datetime) -> bool:
    certificate = pair.parse()
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _MIN_LIFETIME


def _names(pair: Pair) -> set[str]:
    try:
        extension = pair.parse().extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(extension.value.get_values_for_type(x509.DNSName))


def _split(bundle: bytes) -> tuple[bytes, ...]:
    """Split a bundle into PEM certificates. An invalid bundle has none: no client can use it."""
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return ()
    return tuple(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _unexpired(certificates: tuple[bytes, ...], now: datetime.datetime) -> tuple[bytes, ...]:
    return tuple(pem for pem in certificates if x509.load_pem_x509_certificate(pem).not_valid_after_utc > now)


def check(state: State) -> None:
    """Raise ValueError when a state is inconsistent: the Secret may have been edited."""
    authority = state.ca.parse()
    state.serving.parse().verify_directly_issued_by(authority)
    for pair in (state.ca, state.serving, *((state.next_ca,) if state.next_ca else ())):
        key = serialization.load_pem_private_key(pair.key, None)
        if key.public_key() != pair.parse().public_key():
            raise ValueError("a key does not match its certificate")
    if state.ca.certificate not in state.trusted:
        raise ValueError("the signing CA is not in the list of trusted CAs")
