"""Builds a server from its options, and runs it."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog
import uvloop

from webhook.certificates import tls
from webhook.certificates.self_managed import SelfManaged
from webhook.certificates.tls import CertificateError, CertificateFiles
from webhook.errors import ClusterConfigError
from webhook.metrics import Metrics
from webhook.server.app import create_app
from webhook.server.context import Webhook
from webhook.server.server import CannotListen, ListenOptions, serve
from webhook.server.state_metrics import StateCollector
from webhook.server.tracing import Tracing, TracingUnavailable
from webhook.settings.open import open_source
from webhook.settings.parse import SettingsError

if TYPE_CHECKING:
    from webhook.certificates.rotation import Pair

log = structlog.get_logger()


class CannotStart(Exception):
    """The server cannot start with these options; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Limits and features of the server."""

    metrics_port: int = 0
    """Port of /metrics; 0: none."""
    drain_seconds: float = 0
    max_in_flight: int = 1000
    events: bool = False
    traces: bool = False
    page: bool = False
    """Serve the development page."""
    audit_seconds: float = 0
    """Interval of the audit of all pods; 0: none."""
    audited_configuration: str = ""
    """The MutatingWebhookConfiguration of this webhook; the audit reads it to find why a pod was not injected."""
    max_connections: int = 1000
    metrics_tls: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    host: str
    port: int
    certificate: tuple[Path, Path] | SelfManaged | None
    """Files, or self-managed; None: made in memory, for development."""
    client_ca_file: Path | None = None
    settings: str = "embedded"
    cluster: bool = False
    server: ServerOptions = ServerOptions()


def run(options: Options) -> None:
    """Serve until SIGTERM. Raises CannotStart, with the reason, when the server cannot start."""
    try:
        with _stop_on_signals():
            _run(options)
    except _StoppedEarly:
        log.info("stopped before serving")
    except (CertificateError, CannotListen, ClusterConfigError, TracingUnavailable, TimeoutError, ValueError) as error:
        raise CannotStart(str(error)) from None
    except SettingsError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise CannotStart(f"settings {options.settings} cannot be used:\n{lines}") from None


class _StoppedEarly(SystemExit):
    """A signal arrived before the server serves, for example while it waits for its first certificate."""


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Raise _StoppedEarly on SIGTERM and SIGINT, until the server handles them itself.

    The kernel drops a signal without a handler when its process is the first one of a container.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _stop_early) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop_early(_number: int, _frame: object) -> NoReturn:
    raise _StoppedEarly


def exit_process(code: int) -> NoReturn:
    """Exit with this code, without waiting for daemon threads.

    A normal exit of the interpreter ends daemon threads as soon as they run again; a thread that is inside a native
    library then, such as pydantic's, ends the process by SIGABRT. Exit handlers still run: the Kubernetes client
    keeps a kubeconfig's keys in temporary files.
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
    tracing = Tracing() if options.server.traces else None
    try:
        uvloop.run(serve(create_app(webhook, page=options.server.page, tracing=tracing), webhook, listener))
    finally:
        if tracing:
            tracing.close()


def _webhook(options: Options) -> Webhook:
    metrics = Metrics()
    webhook = Webhook(
        settings=open_source(options.settings),
        metrics=metrics,
        client_certificates=options.client_ca_file is not None,
        max_in_flight=options.server.max_in_flight,
    )
    if options.cluster or options.settings.startswith("configmap:"):
        # The Kubernetes client is large, so it is imported only when needed.
        from webhook.server import cluster_integration

        cluster_integration.enable_lookups(webhook, events=options.server.events)
        if options.server.audit_seconds:
            cluster_integration.start_audit(webhook, options.server.audit_seconds, options.server.audited_configuration)
    return webhook


class Expiry:
    """The end of the served certificate's validity, in seconds since 1970; 0 before there is one."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _listener(options: Options) -> tuple[ListenOptions, Callable[[], float]]:
    """Where to listen, and a function for the end of the served certificate's validity."""
    context = tls.server_context(options.client_ca_file)
    expires = Expiry()
    listener = ListenOptions(
        options.host,
        options.port,
        context,
        options.server.drain_seconds,
        max_connections=options.server.max_connections,
        metrics_port=options.server.metrics_port,
        metrics_tls=options.server.metrics_tls,
    )
    if isinstance(options.certificate, SelfManaged):
        _start_rotation(options.certificate, context, expires)
    elif options.certificate is None:
        from webhook.certificates.self_signed import self_signed

        expires.seconds = tls.load_pem(context, *self_signed(("localhost", "127.0.0.1", "::1")))
    else:
        files = CertificateFiles(context, *options.certificate)
        return replace(listener, certificate=files), lambda: files.expires
    return listener, expires


def _start_rotation(managed: SelfManaged, context: ssl.SSLContext, expires: Expiry) -> None:
    """Start the rotation, and wait for the first certificate."""
    from webhook.server import cluster_integration

    def serve_pair(pair: Pair, _bundle: bytes) -> None:
        expires.seconds = tls.load_pem(context, pair.certificate, pair.key)

    cluster_integration.start_rotation(managed, serve_pair)
