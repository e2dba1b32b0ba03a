"""Puts a server together from its options, and runs it."""

from __future__ import annotations

import atexit
import contextlib
import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import prometheus_client
import uvloop

from webhook.app import create_app
from webhook.certs import serving as certs
from webhook.certs.rotation import Pair, SelfManaged
from webhook.certs.serving import CertificateError, CertificateFiles
from webhook.context import Webhook
from webhook.errors import ClusterConfigError
from webhook.metrics import Metrics
from webhook.server import CannotListen, Listener, serve
from webhook.settings.open import open_source
from webhook.settings.parse import SettingsError
from webhook.state_metrics import StateCollector
from webhook.tracing import Tracing, TracingUnavailable


class CannotStart(Exception):
    """The server cannot start as it is asked to; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server does what it does."""

    metrics_port: int = 0
    """Port of /metrics; 0: none."""
    drain_seconds: float = 0
    max_in_flight: int = 1000
    events: bool = False
    traces: bool = False
    docs: bool = False
    audit_seconds: float = 0
    """Between two audits of all pods; 0: none."""
    audited_configuration: str = ""
    """The MutatingWebhookConfiguration that calls us, to tell why a pod slipped through."""
    max_connections: int = 1000


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    host: str
    port: int
    certificate: tuple[Path, Path] | SelfManaged | None
    """Files, or ours to keep; None: made in memory, for development."""
    client_ca_file: Path | None = None
    settings: str = "embedded"
    cluster: bool = False
    behaviour: Behaviour = Behaviour()


def run(options: Options) -> None:
    """Serve until SIGTERM. Raises CannotStart, with the reason, when that cannot begin."""
    try:
        _run(options)
    except (CertificateError, CannotListen, ClusterConfigError, TracingUnavailable, TimeoutError, ValueError) as error:
        raise CannotStart(str(error)) from None
    except SettingsError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise CannotStart(f"settings {options.settings} cannot be used:\n{lines}") from None


def leave(code: int) -> NoReturn:
    """End the process, with this exit code, and leave its threads where they are.

    An interpreter that ends in order ends its daemon threads as soon as they run again: one that is inside a native
    library then, as the Kubernetes client is in pydantic's, takes the process down by SIGABRT. What libraries clean up
    at the end is cleaned up: the Kubernetes client has a kubeconfig's keys in temporary files.
    """
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _run(options: Options) -> None:
    webhook = _webhook(options)
    listener, expires = _listener(options)
    webhook.metrics.registry.register(StateCollector(webhook, expires))
    _expose(options, webhook.metrics)
    tracing = Tracing() if options.behaviour.traces else None
    try:
        uvloop.run(serve(create_app(webhook, docs=options.behaviour.docs, tracing=tracing), webhook, listener))
    finally:
        if tracing:
            tracing.close()


def _webhook(options: Options) -> Webhook:
    metrics = Metrics()
    webhook = Webhook(
        settings=open_source(options.settings),
        metrics=metrics,
        client_certificates=options.client_ca_file is not None,
        max_in_flight=options.behaviour.max_in_flight,
    )
    if options.cluster or options.settings.startswith("configmap:"):
        # The Kubernetes client is large; only who needs it loads it.
        from webhook import connected

        connected.connect(webhook, events=options.behaviour.events)
        if options.behaviour.audit_seconds:
            connected.start_audit(webhook, options.behaviour.audit_seconds, options.behaviour.audited_configuration)
    return webhook


def _expose(options: Options, metrics: Metrics) -> None:
    if options.behaviour.metrics_port:
        try:
            prometheus_client.start_http_server(options.behaviour.metrics_port, options.host, metrics.registry)
        except OSError as error:
            raise CannotListen(
                f"cannot listen on {options.host}, port {options.behaviour.metrics_port}, for metrics: {error.strerror}"
            ) from None


# --- The certificate ----------------------------------------------------------------------------------------------


class Expiry:
    """Until when the certificate that is served is valid, in seconds since 1970; 0 before there is one."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _listener(options: Options) -> tuple[Listener, Callable[[], float]]:
    """Where to listen, and until when the certificate that is served there is valid."""
    context = certs.server_context(options.client_ca_file)
    expires = Expiry()
    behaviour = options.behaviour
    listener = Listener(
        options.host, options.port, context, behaviour.drain_seconds, max_connections=behaviour.max_connections
    )
    if isinstance(options.certificate, SelfManaged):
        _keep_certificates(options.certificate, context, expires)
    elif options.certificate is None:
        expires.seconds = certs.load_pem(context, *certs.self_signed(("localhost", "127.0.0.1", "::1")))
    else:
        files = CertificateFiles(context, *options.certificate)
        return replace(listener, certificate=files), lambda: files.expires
    return listener, expires


def _keep_certificates(chosen: SelfManaged, context: ssl.SSLContext, expires: Expiry) -> None:
    """Start the keeper, and wait for the first certificate."""
    from webhook import connected

    def serve_pair(pair: Pair, _bundle: bytes) -> None:
        expires.seconds = certs.load_pem(context, pair.certificate, pair.key)

    connected.keep_certificates(chosen, serve_pair)
