"""The command line. Imports what a command needs when it runs, so that `mutate` feels instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from webhook import options as opt
from webhook.cache.cli import app as cache_app
from webhook.certs.cli import app as certs_app

if TYPE_CHECKING:
    from webhook import facts_file
    from webhook.audit import Finding
    from webhook.settings.model import Settings

DENIED = 1
UNUSABLE = 2

app = typer.Typer(
    help="Makes the model arrive in the pod: a Kubernetes admission webhook for model storage.",
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
    settle_seconds: opt.SettleSeconds = 600,
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
    """Run the webhook server."""
    from webhook import logs, run
    from webhook.certs.rotation import SelfManaged

    certificate: Any = _certificate_files(tls_cert_file, tls_key_file, dev or bool(certificate_secret))
    if certificate_secret:
        names, configurations = _words(certificate_names), _words(webhook_configurations)
        certificate = SelfManaged(certificate_secret, names, configurations, ca_days, certificate_days, settle_seconds)
    logs.configure((log_format or (opt.LogFormat.console if dev else opt.LogFormat.json)).value, log_level.value)
    # The pod's network is the cluster's to guard.
    address = host or ("127.0.0.1" if dev else "0.0.0.0")  # noqa: S104
    configuration = next(iter(_words(webhook_configurations)), "")
    behaviour = run.Behaviour(
        metrics_port, drain_seconds, max_in_flight, events, traces, dev, audit_seconds, configuration, max_connections
    )
    code = 0
    try:
        run.run(run.Options(address, port, certificate, client_ca_file, settings, cluster, behaviour))
    except run.CannotStart as error:
        _complain(str(error))
        code = UNUSABLE
    except Exception:
        logs.failed()
        code = 1
    run.leave(code)


def _certificate_files(certificate: Path | None, key: Path | None, optional: bool) -> tuple[Path, Path] | None:
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--tls-cert-file and --tls-key-file go together")
    if certificate is None and not optional:
        raise typer.BadParameter(
            "name a certificate with --tls-cert-file and --tls-key-file, let the webhook keep its own with "
            "--certificate-secret, or use --dev"
        )
    return (certificate, key) if certificate and key else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@app.command()
def mutate(
    file: opt.ManifestFile = "-",
    settings: opt.OfflineSettings = "embedded",
    facts: opt.FactsFile = None,
    namespace: opt.Namespace = "default",
    deployments: opt.Deployments = False,
    output: opt.OutputOption = opt.Output.yaml,
) -> None:
    """Do to manifests what the webhook would do to their pods.

    Takes a Pod, anything with a pod template, a List, several YAML documents or an AdmissionReview, and gives back
    the same kinds. Exit code 1: denied, and the reason is on standard error; 2: the input cannot be read.
    """
    from webhook import offline

    mutator = offline.Mutator(_load_settings(settings), namespace, _load_facts(facts))
    documents = _load(file)
    change = mutator.roll_out if deployments else mutator.mutate
    mutated = [change(document) for document in documents]
    _say("warning: ", mutator.warnings, "yellow")
    if mutator.denials:
        _say("denied: ", mutator.denials, "red")
        raise typer.Exit(DENIED)
    if all(new is old for new, old in zip(mutated, documents, strict=True)):
        sought = "no Deployment" if deployments else "no pod and no pod template"
        _say("nothing is changed: ", mutator.skips or [f"{sought} is in {_named(file)}."])
    _print(output, documents, mutated)


@app.command("check-settings")
def check_settings(
    file: opt.SettingsFile = "-",
    strict: opt.Strict = False,
) -> None:
    """Check a ConfigMap, and print the settings that would be in effect.

    Exit code 1: a key is wrong, and the reason is on standard error; 2: the input cannot be read.
    """
    from webhook.settings.check import check

    text = _read_text(file)
    try:
        result = check(text)
    except ValueError as error:
        _fail(f"{_named(file)}: {error}", UNUSABLE)
    _say(*(("error: ", result.warnings, "red") if strict else ("warning: ", result.warnings, "yellow")))
    _say("error: ", result.problems, "red")
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
    """List the pods that asked for a model and were admitted without it, and why as far as it can be told.

    Exit code 1: there are some; 2: the cluster cannot be read.
    """
    from webhook.audit import Auditor
    from webhook.errors import ClusterConfigError, LookupFailed
    from webhook.kube import api_client

    if namespace and all_namespaces:
        raise typer.BadParameter("--namespace and --all-namespaces exclude each other")
    try:
        findings = Auditor(api_client(), configuration).audit(_load_settings(settings), namespace)
    except (ClusterConfigError, LookupFailed) as error:
        _fail(str(error), UNUSABLE)
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
        typer.echo("Every pod that asked for a model was injected.")


def _read_text(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        typer.echo("Reading standard input; end it with Ctrl-D, or name a file with -f.", err=True)
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        _fail(f"{_named(file)}: {error.strerror or error}", UNUSABLE)
    except UnicodeDecodeError:
        _fail(f"{_named(file)}: not UTF-8 text", UNUSABLE)


def _load(file: str) -> list[Any]:
    from webhook import manifests

    text = _read_text(file)
    try:
        return manifests.load(text)
    except ValueError as error:
        _fail(f"{_named(file)}: {error}", UNUSABLE)


def _load_settings(source: str) -> Settings:
    from webhook.settings.model import Settings

    if source == "embedded":
        return Settings.model_construct()
    kind, _, path = source.partition(":")
    if kind != "file" or not path:
        raise typer.BadParameter(f"--settings '{source}': this command takes embedded or file:PATH")
    from webhook.settings.disk import load_file
    from webhook.settings.parse import SettingsError

    try:
        settings, warnings = load_file(Path(path))
    except SettingsError as error:
        _fail("\n".join(f"{path}: {problem}" for problem in error.problems), UNUSABLE)
    _say(f"warning: {path}: ", warnings, "yellow")
    return settings


def _load_facts(file: Path | None) -> facts_file.FactsFile | None:
    if file is None:
        return None
    from webhook.facts_file import FactsFile as Source

    return Source(_load(str(file)))


def _say(what: str, lines: Iterable[object], colour: str | None = None) -> None:
    for line in lines:
        typer.secho(f"{what}{line}", fg=colour, err=True)


def _print(output: opt.Output, documents: list[Any], mutated: list[Any]) -> None:
    from webhook import manifests, offline

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


def _named(file: str) -> str:
    return "standard input" if file == "-" else file


def _fail(message: str, code: int) -> NoReturn:
    _complain(message)
    raise typer.Exit(code)


def _complain(message: str) -> None:
    typer.secho(message, fg="red", err=True)
