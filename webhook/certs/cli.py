"""`storage-webhook certs`: what is served, by whom, until when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryptography import x509

UNREACHABLE = 2
_TIMEOUT_SECONDS = 5

app = typer.Typer(
    help="See the certificate that a webhook serves.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Address = Annotated[
    str,
    typer.Option(envvar="STORAGE_WEBHOOK_ADDRESS", metavar="HOST:PORT", help="Where the webhook listens."),
]
Json = Annotated[bool, typer.Option("--json", envvar="STORAGE_WEBHOOK_JSON", help="JSON instead of lines.")]


@app.callback()
def certs() -> None:
    """See the certificate that a webhook serves."""


@app.command()
def show(address: Address = "127.0.0.1:8443", as_json: Json = False) -> None:
    """Say what is served, by whom it was issued, and until when it is valid.

    Exit code 1: it is not valid now; 2: nothing answers there.
    """
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(_served(address))
    except ValueError as error:
        typer.secho(f"{address}: {error}", fg="red", err=True)
        raise typer.Exit(UNREACHABLE) from None
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "is a webhook running there? Name its address with --address"
        typer.secho(f"{address}: no certificate is served: {reason}: {advice}", fg="red", err=True)
        raise typer.Exit(UNREACHABLE) from None
    facts = _described(certificate)
    typer.echo(json.dumps(facts, indent=2) if as_json else "\n".join(f"{key:9}{value}" for key, value in facts.items()))
    if not certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc:
        raise typer.Exit(1)


def _served(address: str) -> bytes:
    """The certificate, DER, whoever issued it. Raises OSError, or ValueError for an address that is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("write the address as HOST:PORT")
    import socket
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        served = ", ".join(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        served = ""
    return {
        "subject": certificate.subject.rfc4514_string(),
        "names": served,
        "issuer": certificate.issuer.rfc4514_string(),
        "from": certificate.not_valid_before_utc.isoformat(),
        "until": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
