"""Puts a server together from its options, and runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import uvloop

from webhook import certs
from webhook.app import create_app
from webhook.certs import CertificateError, CertificateFiles
from webhook.context import Webhook
from webhook.facts import FactSource, NoCluster
from webhook.server import Listener, serve
from webhook.settings.parse import SettingsError
from webhook.settings.source import EmbeddedSettings, SettingsSource


class CannotStart(Exception):
    """The server cannot start as it is asked to; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    host: str
    port: int
    certificate: tuple[Path, Path] | None
    client_ca_file: Path | None
    settings: str
    cluster: bool
    metrics_port: int
    drain_seconds: float
    docs: bool


def run(options: Options) -> None:
    """Serve until SIGTERM. Raises CannotStart, with the reason, when that cannot begin."""
    try:
        listener = _listener(options)
        webhook = Webhook(
            settings=_settings(options.settings),
            facts=_facts(options),
            client_certificates=options.client_ca_file is not None,
        )
        uvloop.run(serve(create_app(webhook, docs=options.docs), webhook, listener))
    except CertificateError as error:
        raise CannotStart(str(error)) from None
    except SettingsError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise CannotStart(f"settings {options.settings} cannot be used:\n{lines}") from None
    except OSError as error:
        raise CannotStart(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None


def _listener(options: Options) -> Listener:
    context = certs.server_context(options.client_ca_file)
    if options.certificate is None:
        certs.load_pem(context, *certs.self_signed(("localhost", "127.0.0.1", "::1")))
        files = None
    else:
        files = CertificateFiles(context, *options.certificate)
    return Listener(options.host, options.port, context, options.drain_seconds, files)


def _settings(source: str) -> SettingsSource:
    return EmbeddedSettings()


def _facts(options: Options) -> FactSource:
    return NoCluster()
