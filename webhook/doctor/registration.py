"""The registration of the webhook: its failure policy and the CA that the API server trusts."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509

from webhook.doctor.installation import AREA, POD_WEBHOOK
from webhook.doctor.report import Check, Result

SOON = datetime.timedelta(days=14)
"""The remaining validity of a certificate that is worth a warning."""


class Endpoint(NamedTuple):
    """Where the API server calls a webhook, and the CA that it trusts."""

    host: str
    port: int
    ca_bundle: str
    """As in the registration: PEM in Base64."""
    is_service: bool
    webhooks: str = ""
    """The names of the webhooks that are registered so."""

    @property
    def pem(self) -> str:
        """The CA certificates as PEM. Raises ValueError when the bundle is not Base64 of ASCII text."""
        try:
            return base64.b64decode(self.ca_bundle, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError("is not PEM") from error


def endpoints(*configurations: Mapping[str, Any]) -> list[Endpoint]:
    """The distinct endpoints of all webhooks in these configurations."""
    names: dict[Endpoint, list[str]] = {}
    for configuration in configurations:
        for webhook in configuration.get("webhooks") or ():
            names.setdefault(_endpoint(webhook["clientConfig"]), []).append(webhook["name"])
    return [endpoint._replace(webhooks=", ".join(webhooks)) for endpoint, webhooks in names.items()]


def _endpoint(config: Mapping[str, Any]) -> Endpoint:
    bundle = config.get("caBundle") or ""
    if service := config.get("service"):
        return Endpoint(f"{service['name']}.{service['namespace']}.svc", service.get("port", 443), bundle, True)
    url = urlsplit(config.get("url") or "")
    return Endpoint(url.hostname or "", url.port or 443, bundle, False)


def check_failure_policy(configuration: Mapping[str, Any]) -> Iterator[Check]:
    """Whether pods are created without their model while the webhook is down."""
    name = configuration["metadata"]["name"]
    for webhook in configuration.get("webhooks") or ():
        if webhook["name"] == POD_WEBHOOK:
            policy = webhook.get("failurePolicy")
            ignores = policy == "Ignore"
            detail = "pods are created without their model while the webhook is down: run `storage-webhook audit -A`"
            result = Result.WARNING if ignores else Result.WORKS
            yield Check(AREA, f"failurePolicy of {name}", result, detail if ignores else str(policy))


def check_ca_bundle(endpoint: Endpoint, now: datetime.datetime) -> Check:
    """Whether the CA certificates that the API server trusts are valid."""
    subject = f"caBundle of {endpoint.webhooks}"
    if not endpoint.ca_bundle:
        return Check(AREA, subject, Result.BROKEN, "empty: the API server cannot verify the webhook's certificate")
    try:
        found = x509.load_pem_x509_certificates(endpoint.pem.encode())
    except ValueError:
        return Check(AREA, subject, Result.BROKEN, "not certificates in PEM: see docs/operations.md, Certificates")
    valid = [each for each in found if each.not_valid_before_utc <= now < each.not_valid_after_utc]
    if not valid:
        until = max(each.not_valid_after_utc for each in found)
        return Check(AREA, subject, Result.BROKEN, f"no certificate is valid now; the last until {until:%Y-%m-%d}")
    return Check(AREA, subject, *validity(max(each.not_valid_after_utc for each in valid), now))


def validity(until: datetime.datetime, now: datetime.datetime) -> tuple[Result, str]:
    """The result for a certificate that is valid until this time."""
    result = Result.WARNING if until - now < SOON else Result.WORKS
    return result, f"valid until {until:%Y-%m-%d %H:%M} UTC"
