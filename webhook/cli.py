"""The command line. Imports what a command needs when it runs, so that `mutate` feels instant."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from webhook.cache.cli import app as cache_app

if TYPE_CHECKING:
    from webhook import facts_file
    from webhook.settings.model import Settings
    from webhook.settings.parse import Problem

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


class LogFormat(StrEnum):
    """How log lines look."""

    json = "json"
    console = "console"


class LogLevel(StrEnum):
    """The least severe log lines that are written."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Output(StrEnum):
    """What `mutate` prints."""

    yaml = "yaml"
    json = "json"
    patch = "patch"
    diff = "diff"


def _env(name: str) -> str:
    return f"STORAGE_WEBHOOK_{name}"


# --- Options -------------------------------------------------------------------------------------------

Dev = Annotated[
    bool,
    typer.Option(
        "--dev",
        envvar=_env("DEV"),
        help="Defaults for a laptop: a certificate made in memory, loopback only, console log, API docs at /docs.",
    ),
]
Host = Annotated[
    str | None, typer.Option(envvar=_env("HOST"), help="Address to listen on. Default: 0.0.0.0; dev: 127.0.0.1.")
]
Port = Annotated[
    int, typer.Option(envvar=_env("PORT"), min=0, max=65535, help="Port to listen on; 0 takes a free one.")
]
TlsCertFile = Annotated[
    Path | None, typer.Option(envvar=_env("TLS_CERT_FILE"), help="Certificate chain (PEM). Reloaded on change.")
]
TlsKeyFile = Annotated[
    Path | None, typer.Option(envvar=_env("TLS_KEY_FILE"), help="Private key of the certificate (PEM).")
]
ClientCaFile = Annotated[
    Path | None,
    typer.Option(envvar=_env("CLIENT_CA_FILE"), help="Only callers with a certificate of this CA may mutate."),
]
SettingsOption = Annotated[
    str,
    typer.Option(envvar=_env("SETTINGS"), metavar="SOURCE", help="embedded, file:PATH or configmap:NAMESPACE/NAME."),
]
Cluster = Annotated[
    bool,
    typer.Option(
        "--cluster",
        envvar=_env("CLUSTER"),
        help="Look up service accounts, secrets and storage containers. Always on with configmap: settings.",
    ),
]
MetricsPort = Annotated[
    int, typer.Option(envvar=_env("METRICS_PORT"), min=0, max=65535, help="Port of /metrics (HTTP); 0: none.")
]
DrainSeconds = Annotated[
    float,
    typer.Option(envvar=_env("DRAIN_SECONDS"), min=0, help="After SIGTERM: seconds to go on taking requests."),
]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option(envvar=_env("LOG_FORMAT"), help="Default: json; dev: console.")
]
LogLevelOption = Annotated[LogLevel, typer.Option(envvar=_env("LOG_LEVEL"))]

ManifestFile = Annotated[
    str,
    typer.Option(
        "-f", "--file", envvar=_env("FILE"), metavar="FILE", help="Manifests (YAML or JSON); - is standard input."
    ),
]
OfflineSettings = Annotated[str, typer.Option(envvar=_env("SETTINGS"), metavar="SOURCE", help="embedded or file:PATH.")]
FactsFile = Annotated[
    Path | None,
    typer.Option(
        envvar=_env("FACTS"),
        help="Manifests of what the cluster holds: ServiceAccounts, Secrets, ClusterStorageContainers, claims.",
    ),
]
Namespace = Annotated[str, typer.Option("-n", "--namespace", envvar=_env("NAMESPACE"), help="Of pods that name none.")]
OutputOption = Annotated[
    Output,
    typer.Option("-o", "--output", envvar=_env("OUTPUT"), help="patch: one JSON patch a document; diff: for people."),
]

SettingsFile = Annotated[
    str,
    typer.Option(
        "-f",
        "--file",
        envvar=_env("FILE"),
        metavar="FILE",
        help="A ConfigMap or bare settings; - is standard input.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", envvar=_env("STRICT"), help="Warnings are errors.")]


@app.command()
def serve(
    dev: Dev = False,
    host: Host = None,
    port: Port = 8443,
    tls_cert_file: TlsCertFile = None,
    tls_key_file: TlsKeyFile = None,
    client_ca_file: ClientCaFile = None,
    settings: SettingsOption = "embedded",
    cluster: Cluster = False,
    metrics_port: MetricsPort = 0,
    drain_seconds: DrainSeconds = 0,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = LogLevel.info,
) -> None:
    """Run the webhook server."""
    from webhook import logs, run

    if (tls_cert_file is None) != (tls_key_file is None):
        raise typer.BadParameter("--tls-cert-file and --tls-key-file go together")
    if tls_cert_file is None and not dev:
        raise typer.BadParameter("name a certificate with --tls-cert-file and --tls-key-file, or use --dev")
    logs.configure((log_format or (LogFormat.console if dev else LogFormat.json)).value, log_level.value)
    options = run.Options(
        host=host or ("127.0.0.1" if dev else "0.0.0.0"),  # noqa: S104 - the pod's network is the cluster's to guard
        port=port,
        certificate=(tls_cert_file, tls_key_file) if tls_cert_file and tls_key_file else None,
        client_ca_file=client_ca_file,
        settings=settings,
        cluster=cluster,
        metrics_port=metrics_port,
        drain_seconds=drain_seconds,
        docs=dev,
    )
    try:
        run.run(options)
    except run.CannotStart as error:
        _fail(str(error), UNUSABLE)


@app.command()
def mutate(
    file: ManifestFile = "-",
    settings: OfflineSettings = "embedded",
    facts: FactsFile = None,
    namespace: Namespace = "default",
    output: OutputOption = Output.yaml,
) -> None:
    """Do to manifests what the webhook would do to their pods.

    Takes a Pod, anything with a pod template, a List, several YAML documents or an AdmissionReview, and gives back
    the same kinds. Exit code 1: denied, and the reason is on standard error; 2: the input cannot be read.
    """
    from webhook import offline

    try:
        documents = offline.load(_read_text(file))
        mutator = offline.Mutator(_load_settings(settings), namespace, _load_facts(facts))
    except ValueError as error:
        _fail(f"{_named(file)}: {error}", UNUSABLE)
    mutated = [mutator.mutate(document) for document in documents]
    for warning in mutator.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    for denial in mutator.denials:
        typer.secho(f"denied: {denial}", fg="red", err=True)
    if mutator.denials:
        raise typer.Exit(DENIED)
    _print(output, documents, mutated)


@app.command("check-settings")
def check_settings(
    file: SettingsFile = "-",
    strict: Strict = False,
) -> None:
    """Check a ConfigMap, and print the settings that would be in effect.

    Exit code 1: a key is wrong, and the reason is on standard error; 2: the input cannot be read.
    """
    from webhook.settings.check import check

    try:
        result = check(_read_text(file))
    except ValueError as error:
        _fail(f"{_named(file)}: {error}", UNUSABLE)
    for warning in result.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    for problem in result.problems:
        typer.secho(f"error: {problem}", fg="red", err=True)
    if result.problems or (strict and result.warnings):
        raise typer.Exit(1)
    typer.echo(result.effective, nl=False)


def _read_text(file: str) -> str:
    """Raises ValueError, saying why, when the file cannot be read."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None


def _load_settings(source: str) -> Settings:
    from webhook.settings.model import Settings

    if source == "embedded":
        return Settings()
    kind, _, path = source.partition(":")
    if kind != "file" or not path:
        raise typer.BadParameter(f"--settings {source}: offline only embedded and file:PATH work")
    from webhook.settings.file import load_file
    from webhook.settings.parse import SettingsError

    try:
        settings, warnings = load_file(Path(path))
    except SettingsError as error:
        _fail("\n".join(f"{path}: {problem}" for problem in error.problems), UNUSABLE)
    _warn_about(path, warnings)
    return settings


def _load_facts(file: Path | None) -> facts_file.FactsFile | None:
    if file is None:
        return None
    from webhook import manifests
    from webhook.facts_file import FactsFile as Source

    try:
        return Source(manifests.load(_read_text(str(file))))
    except ValueError as error:
        _fail(f"{file}: {error}", UNUSABLE)


def _warn_about(path: str, warnings: list[Problem]) -> None:
    for warning in warnings:
        typer.secho(f"warning: {path}: {warning}", fg="yellow", err=True)


def _print(output: Output, documents: list[Any], mutated: list[Any]) -> None:
    from webhook import manifests, offline

    if output is Output.yaml:
        typer.echo(manifests.dump(mutated), nl=False)
    elif output is Output.json:
        typer.echo(offline.as_json(mutated))
    elif output is Output.patch:
        typer.echo("\n".join(offline.as_patches(documents, mutated)))
    else:
        for line, colour in offline.as_diff(documents, mutated):
            typer.secho(line, fg=colour)


def _named(file: str) -> str:
    return "standard input" if file == "-" else file


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(code)
