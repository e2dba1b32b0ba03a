"""A TLS connection to the webhook, verified as the API server verifies it."""

from __future__ import annotations

import datetime
import socket
import ssl

from cryptography import x509

from webhook.doctor.installation import AREA
from webhook.doctor.registration import Endpoint, validity
from webhook.doctor.report import Check, Result

_TIMEOUT = 5.0
"""In seconds, to connect and for the handshake."""


def check_certificate(endpoint: Endpoint, address: tuple[str, int] | None, now: datetime.datetime) -> Check:
    """Whether the serving certificate is one of the trusted CA, for the name that the API server uses.

    `address`: where the webhook can be reached from here; None for the endpoint itself.
    """
    subject = f"certificate for {endpoint.webhooks}"
    host, port = address or (endpoint.host, endpoint.port)
    try:
        context = ssl.create_default_context(cadata=endpoint.pem)
        with (
            socket.create_connection((host, port), _TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=endpoint.host) as tls,
        ):
            certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        detail = f"not trusted by the API server: {error.verify_message}: see docs/operations.md, Certificates"
        return Check(AREA, subject, Result.BROKEN, detail)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if endpoint.is_service and address is None:
            detail = "not reachable from here: run `kubectl port-forward`, and set --address to the forwarded port"
            return Check(AREA, subject, Result.UNKNOWN, detail)
        return Check(AREA, subject, Result.BROKEN, f"cannot connect to {host}:{port}: {reason}")
    result, detail = validity(certificate.not_valid_after_utc, now)
    return Check(AREA, subject, result, f"{endpoint.host}: {detail}")
