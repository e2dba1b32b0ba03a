"""`storage-webhook certs`: show the serving certificate of a webhook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryptography import x509

UNREACHABLE = 2
_TIMEOUT_SECONDS = 5

app = typer.Typer(
    help="Inspect the serving certificate of a running webhook.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Address = Annotated[
    str,
    typer.Option(envvar="STORAGE_WEBHOOK_ADDRESS", metavar="HOST:PORT", help="Address of the webhook."),
]
Json = Annotated[bool, typer.Option("--json", envvar="STORAGE_WEBHOOK_JSON", help="Print JSON.")]


@app.callback()
def certs() -> None:
    """Inspect the serving certificate of a running webhook."""


@app.command()
def show(address: Address = "127.0.0.1:8443", as_json: Json = False) -> None:
    """Show the subject, DNS names, issuer and validity of the serving certificate.

    Exit code 1: the certificate is not valid now; 2: the webhook cannot be reached.
    """
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(_fetch(address))
    except ValueError as error:
        typer.secho(f"{address}: {error}", fg="red", err=True)
        raise typer.Exit(UNREACHABLE) from None
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "check that the webhook is running, or set --address"
        typer.secho(f"{address}: cannot read the serving certificate: {reason}: {advice}", fg="red", err=True)
        raise typer.Exit(UNREACHABLE) from None
    details = _details(certificate)
    typer.echo(
        json.dumps(details, indent=2) if as_json else "\n".join(f"{key:9}{value}" for key, value in details.items())
    )
    if not certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc:
        raise typer.Exit(1)


def _fetch(address: str) -> bytes:
    """Fetch the certificate as DER, without verification. Raises OSError, or ValueError for an invalid address."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("the address must be HOST:PORT")
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


def _details(certificate: x509.Certificate) -> dict[str, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = ", ".join(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        dns_names = ""
    return {
        "subject": certificate.subject.rfc4514_string(),
        "names": dns_names,
        "issuer": certificate.issuer.rfc4514_string(),
        "from": certificate.not_valid_before_utc.isoformat(),
        "until": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
