"""`storage-webhook serve`: run the webhook server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from webhook.cli import options as opt
from webhook.cli.choices import LogFormat, LogLevel
from webhook.cli.console import UNUSABLE, print_error

if TYPE_CHECKING:
    from webhook.server import run


def serve(
    dev: opt.Dev = False,
    host: opt.Host = None,
    port: opt.Port = 8443,
    tls_cert_file: opt.TlsCertFile = None,
    tls_key_file: opt.TlsKeyFile = None,
    client_ca_file: opt.ClientCaFile = None,
    certificate_secret: opt.CertificateSecret = None,
    certificate_names: opt.CertificateNames = "",
    webhook_configurations: opt.WebhookConfigurations = "",
    certificate_days: opt.CertificateDays = 90,
    ca_days: opt.CaDays = 730,
    propagation_seconds: opt.PropagationSeconds = 600,
    remove_with_namespace: opt.RemoveWithNamespace = False,
    settings: opt.SettingsOption = "embedded",
    cluster: opt.Cluster = False,
    metrics_port: opt.MetricsPort = 0,
    metrics_tls: opt.MetricsTls = False,
    drain_seconds: opt.DrainSeconds = 0,
    max_in_flight: opt.MaxInFlight = 1000,
    max_connections: opt.MaxConnections = 1000,
    events: opt.Events = False,
    audit_seconds: opt.AuditSeconds = 0,
    traces: opt.Traces = False,
    log_format: opt.LogFormatOption = None,
    log_level: opt.LogLevelOption = LogLevel.info,
) -> None:
    """Run the webhook server.

    It serves HTTPS. A certificate is required: files, a Secret that the webhook manages, or --dev for a temporary one.
    Exit code 2: the server cannot start; 1: it failed.
    """
    from webhook.certificates.self_managed import SelfManaged
    from webhook.server import logs, run

    certificate: Any = _certificate_files(tls_cert_file, tls_key_file, dev or bool(certificate_secret))
    configurations = _split_list(webhook_configurations)
    if certificate_secret:
        certificate = SelfManaged(
            secret=certificate_secret,
            names=_split_list(certificate_names),
            configurations=configurations,
            ca_days=ca_days,
            days=certificate_days,
            propagation_seconds=propagation_seconds,
            removed_with_namespace=remove_with_namespace,
        )
    logs.configure((log_format or (LogFormat.console if dev else LogFormat.json)).value, log_level.value)
    server = run.ServerOptions(
        metrics_port=metrics_port,
        drain_seconds=drain_seconds,
        max_in_flight=max_in_flight,
        events=events,
        traces=traces,
        page=dev,
        audit_seconds=audit_seconds,
        audited_configuration=next(iter(configurations), ""),
        max_connections=max_connections,
        metrics_tls=metrics_tls,
    )
    address = _address(host, dev)
    run.exit_process(_serve(run.Options(address, port, certificate, client_ca_file, settings, cluster, server)))


def _address(host: str | None, dev: bool) -> str:
    if not dev:
        # Binding to all interfaces is intended: a NetworkPolicy restricts access.
        return host or "0.0.0.0"  # noqa: S104
    if host is not None and not _is_loopback(host):
        raise typer.BadParameter(
            f"--host {host}: with --dev the server listens on loopback only. Leave out --host, or use 127.0.0.1 or ::1"
        )
    return host or "127.0.0.1"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(options: run.Options) -> int:
    """Serve until the server is stopped. Returns the exit code."""
    from webhook.server import logs, run

    try:
        run.run(options)
    except run.CannotStart as error:
        print_error(str(error))
        return UNUSABLE
    except Exception:
        logs.log_crash()
        return 1
    return 0


def _certificate_files(certificate: Path | None, key: Path | None, optional: bool) -> tuple[Path, Path] | None:
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--tls-cert-file and --tls-key-file must be used together")
    if certificate is None and not optional:
        raise typer.BadParameter(
            "a serving certificate is required: set --tls-cert-file and --tls-key-file, or --certificate-secret for a "
            "certificate that the webhook manages, or use --dev"
        )
    return (certificate, key) if certificate and key else None


def _split_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())
