"""The command line. Commands import what they need when they run, so that `mutate` starts fast."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from webhook.cli import options as opt
from webhook.cli.cache import app as cache_app
from webhook.cli.certificates import app as certs_app

if TYPE_CHECKING:
    from webhook.cli import facts_file
    from webhook.server import run
    from webhook.server.audit import Finding
    from webhook.settings.model import Settings
    from webhook.settings.parse import Problem

DENIED = 1
UNUSABLE = 2

app = typer.Typer(
    help="Delivers ML models to Kubernetes pods: runs the admission webhook, and previews, checks and audits its work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cache_app, name="cache")
app.add_typer(certs_app, name="certs")


@app.command()
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
    settings: opt.SettingsOption = "embedded",
    cluster: opt.Cluster = False,
    metrics_port: opt.MetricsPort = 0,
    drain_seconds: opt.DrainSeconds = 0,
    max_in_flight: opt.MaxInFlight = 1000,
    max_connections: opt.MaxConnections = 1000,
    events: opt.Events = False,
    audit_seconds: opt.AuditSeconds = 0,
    traces: opt.Traces = False,
    log_format: opt.LogFormatOption = None,
    log_level: opt.LogLevelOption = opt.LogLevel.info,
) -> None:
    """Run the webhook server.

    It serves HTTPS. A certificate is required: files, a Secret that the webhook manages, or --dev for a temporary one.
    Exit code 2: the server cannot start; 1: it failed.
    """
    from webhook.certificates.rotation import SelfManaged
    from webhook.server import logs, run

    certificate: Any = _certificate_files(tls_cert_file, tls_key_file, dev or bool(certificate_secret))
    if certificate_secret:
        names, configurations = _split_list(certificate_names), _split_list(webhook_configurations)
        certificate = SelfManaged(
            certificate_secret, names, configurations, ca_days, certificate_days, propagation_seconds
        )
    logs.configure((log_format or (opt.LogFormat.console if dev else opt.LogFormat.json)).value, log_level.value)
    # Binding to all interfaces is intended: a NetworkPolicy restricts access.
    address = host or ("127.0.0.1" if dev else "0.0.0.0")  # noqa: S104
    configuration = next(iter(_split_list(webhook_configurations)), "")
    server = run.ServerOptions(
        metrics_port, drain_seconds, max_in_flight, events, traces, dev, audit_seconds, configuration, max_connections
    )
    run.exit_process(_serve(run.Options(address, port, certificate, client_ca_file, settings, cluster, server)))


def _serve(options: run.Options) -> int:
    """Serve until the server is stopped. Returns the exit code."""
    from webhook.server import logs, run

    try:
        run.run(options)
    except run.CannotStart as error:
        _print_error(str(error))
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


@app.command()
def mutate(
    file: opt.ManifestFile = "-",
    settings: opt.OfflineSettings = "embedded",
    facts: opt.FactsFile = None,
    namespace: opt.Namespace = "default",
    deployments: opt.Deployments = False,
    output: opt.OutputOption = opt.Output.yaml,
) -> None:
    """Show what the webhook would do to the pods in manifests. No cluster is needed.

    Reads Pods, workloads with a pod template, Lists and AdmissionReviews, and prints the same objects, mutated.
    Exit code 1: a pod would be denied, for the reason on standard error; 2: the input cannot be read.
    """
    from webhook.cli import offline

    mutator = offline.Mutator(_load_settings(settings), namespace, _load_facts(facts))
    documents = _load(file)
    change = mutator.mutate_deployments if deployments else mutator.mutate_pods
    mutated = [change(document) for document in documents]
    _print_lines("warning: ", mutator.warnings, "yellow")
    if mutator.denials:
        _print_lines("denied: ", mutator.denials, "red")
        raise typer.Exit(DENIED)
    _print_lines("note: ", mutator.notes)
    if all(new is old for new, old in zip(mutated, documents, strict=True)):
        missing = "no Deployment" if deployments else "no pod and no pod template"
        _print_lines("unchanged: ", mutator.skips or [f"{_display_name(file)} contains {missing}."])
    _print_documents(output, documents, mutated)


@app.command("check-settings")
def check_settings(
    file: opt.SettingsFile = "-",
    strict: opt.Strict = False,
) -> None:
    """Validate settings, and print those that would be in effect, with defaults.

    Exit code 1: the settings are invalid, for the reasons on standard error; 2: the input cannot be read.
    """
    from webhook.settings.check import check

    text = _read_text(file)
    try:
        result = check(text)
    except ValueError as error:
        _exit(f"{_display_name(file)}: {error}", UNUSABLE)
    _print_lines(*(("error: ", result.warnings, "red") if strict else ("warning: ", result.warnings, "yellow")))
    _print_lines("error: ", result.problems, "red")
    if result.problems or (strict and result.warnings):
        raise typer.Exit(1)
    typer.echo(result.effective, nl=False)


@app.command()
def audit(
    namespace: opt.AuditNamespace = None,
    all_namespaces: opt.AllNamespaces = False,
    settings: opt.AuditSettings = "embedded",
    configuration: opt.AuditConfiguration = "",
    output: opt.AuditOutput = opt.TableOutput.table,
) -> None:
    """List the pods that requested a model but were not injected, with the likely reason.

    Exit code 1: there are such pods; 2: the cluster cannot be read.
    """
    from webhook.errors import ClusterConfigError, LookupFailed
    from webhook.kubernetes_api.client import api_client
    from webhook.server.audit import Auditor

    if namespace and all_namespaces:
        raise typer.BadParameter("use either --namespace or --all-namespaces")
    try:
        findings = Auditor(api_client(), configuration).audit(_load_settings(settings), namespace)
    except (ClusterConfigError, LookupFailed) as error:
        _exit(str(error), UNUSABLE)
    _print_findings(findings, output)
    if findings:
        raise typer.Exit(1)


def _print_findings(findings: list[Finding], output: opt.TableOutput) -> None:
    from dataclasses import asdict

    if output is opt.TableOutput.json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("NAMESPACE", "POD", "REASON", box=None)
    for finding in findings:
        table.add_row(finding.namespace, finding.pod, finding.reason)
    if findings:
        Console().print(table)
    else:
        typer.echo("Every pod that requested a model was injected.")


def _read_text(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        typer.echo("Reading from standard input. Press Ctrl-D to end, or use -f FILE.", err=True)
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        _exit(f"{_display_name(file)}: {error.strerror or error}", UNUSABLE)
    except UnicodeDecodeError:
        _exit(f"{_display_name(file)}: not UTF-8 text", UNUSABLE)


def _load(file: str) -> list[Any]:
    from webhook.cli import manifests

    text = _read_text(file)
    try:
        return manifests.load(text)
    except ValueError as error:
        _exit(f"{_display_name(file)}: {error}", UNUSABLE)


def _load_settings(source: str) -> Settings:
    from webhook.settings.model import EMBEDDED

    if source == "embedded":
        return EMBEDDED
    kind, _, path = source.partition(":")
    if kind != "file" or not path:
        raise typer.BadParameter(f"--settings '{source}': use embedded or file:PATH")
    from webhook.settings.disk import load_file
    from webhook.settings.parse import SettingsError

    try:
        settings, warnings = load_file(Path(path))
    except SettingsError as error:
        _exit("\n".join(_of_file(path, problem) for problem in error.problems), UNUSABLE)
    _print_lines(f"warning: {path}: ", warnings, "yellow")
    return settings


def _of_file(path: str, problem: Problem) -> str:
    """A problem with the name of the file, which it has already when the whole file is unusable."""
    return str(problem) if problem.key == path else f"{path}: {problem}"


def _load_facts(file: Path | None) -> facts_file.FactsFile | None:
    if file is None:
        return None
    from webhook.cli.facts_file import FactsFile

    return FactsFile(_load(str(file)))


def _print_lines(prefix: str, lines: Iterable[object], colour: str | None = None) -> None:
    for line in lines:
        typer.secho(f"{prefix}{line}", fg=colour, err=True)


def _print_documents(output: opt.Output, documents: list[Any], mutated: list[Any]) -> None:
    from webhook.cli import manifests, offline

    if output is opt.Output.yaml:
        typer.echo(manifests.dump(mutated), nl=False)
    elif output is opt.Output.json:
        typer.echo(offline.as_json(mutated))
    elif output is opt.Output.patch:
        for patch in offline.as_patches(documents, mutated):
            typer.echo(patch)
    else:
        for line, colour in offline.as_diff(documents, mutated):
            typer.secho(line, fg=colour)


def _display_name(file: str) -> str:
    return "standard input" if file == "-" else file


def _exit(message: str, code: int) -> NoReturn:
    _print_error(message)
    raise typer.Exit(code)


def _print_error(message: str) -> None:
    typer.secho(message, fg="red", err=True)
