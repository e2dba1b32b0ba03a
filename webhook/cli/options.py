"""Options of the command line: name, environment variable and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.choices import LogFormat, LogLevel, Output, TableOutput


def env(name: str) -> str:
    return f"STORAGE_WEBHOOK_{name}"


def _print_version(wanted: bool) -> None:
    if wanted:
        from webhook.version import version

        typer.echo(f"storage-webhook {version()}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]

Dev = Annotated[
    bool,
    typer.Option(
        "--dev",
        envvar=env("DEV"),
        help="Development: a page to try manifests, its API at /docs, a temporary certificate, loopback only, and "
        "console logs.",
    ),
]
Host = Annotated[
    str | None, typer.Option(envvar=env("HOST"), help="Address to listen on. Default: 0.0.0.0; with --dev: 127.0.0.1.")
]
Port = Annotated[int, typer.Option(envvar=env("PORT"), min=0, max=65535, help="HTTPS port. 0: any free port.")]
TlsCertFile = Annotated[
    Path | None,
    typer.Option(
        envvar=env("TLS_CERT_FILE"), help="File with the serving certificate chain (PEM). Reloaded when it changes."
    ),
]
TlsKeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar=env("TLS_KEY_FILE"), help="File with the private key of the certificate (PEM). Reloaded when it changes."
    ),
]
ClientCaFile = Annotated[
    Path | None,
    typer.Option(
        envvar=env("CLIENT_CA_FILE"),
        help="File with CA certificates (PEM). If set, admission requests require a client certificate of this CA.",
    ),
]
SettingsOption = Annotated[
    str,
    typer.Option(
        envvar=env("SETTINGS"),
        metavar="SOURCE",
        help="Source of the settings: embedded (defaults), file:PATH or configmap:NAMESPACE/NAME.",
    ),
]
Cluster = Annotated[
    bool,
    typer.Option(
        "--cluster",
        envvar=env("CLUSTER"),
        help="Look up service accounts, Secrets and ClusterStorageContainers. Always on with configmap: settings.",
    ),
]
MetricsPort = Annotated[
    int, typer.Option(envvar=env("METRICS_PORT"), min=0, max=65535, help="Port for /metrics. 0: no metrics.")
]
MetricsTls = Annotated[
    bool,
    typer.Option("--metrics-tls", envvar=env("METRICS_TLS"), help="Serve the metrics over TLS, with the certificate."),
]
DrainSeconds = Annotated[
    float,
    typer.Option(envvar=env("DRAIN_SECONDS"), min=0, help="Time to keep accepting requests after SIGTERM, in seconds."),
]
MaxInFlight = Annotated[
    int,
    typer.Option(
        envvar=env("MAX_IN_FLIGHT"),
        min=1,
        help="Maximum number of concurrent requests. Further requests get status 503.",
    ),
]
MaxConnections = Annotated[
    int,
    typer.Option(
        envvar=env("MAX_CONNECTIONS"),
        min=1,
        help="Maximum number of open connections. At the limit, a new connection evicts one that is unused so far, "
        "or the one that has been idle longest.",
    ),
]
Events = Annotated[
    bool, typer.Option("--events", envvar=env("EVENTS"), help="Record an Event on the owner of each rejected pod.")
]
AuditSeconds = Annotated[
    float,
    typer.Option(
        envvar=env("AUDIT_SECONDS"),
        min=0,
        help="Interval of the audit of all pods, which sets a metric, in seconds. 0: no audit.",
    ),
]
Traces = Annotated[
    bool,
    typer.Option(
        "--traces",
        envvar=env("TRACES"),
        help="Export OpenTelemetry traces, configured with OTEL_* variables. Requires the extra `otel`.",
    ),
]
CertificateSecret = Annotated[
    str | None,
    typer.Option(
        envvar=env("CERTIFICATE_SECRET"),
        metavar="NAMESPACE/NAME",
        help="Issue and rotate the serving certificate, and store it in this Secret, instead of reading files.",
    ),
]
CertificateNames = Annotated[
    str,
    typer.Option(
        envvar=env("CERTIFICATE_NAMES"),
        help="DNS names of the issued certificate, comma-separated: those of the Service.",
    ),
]
WebhookConfigurations = Annotated[
    str,
    typer.Option(
        envvar=env("WEBHOOK_CONFIGURATIONS"),
        help="Webhook configurations whose caBundle is set to the issuing CA, comma-separated.",
    ),
]
CertificateDays = Annotated[
    float,
    typer.Option(
        envvar=env("CERTIFICATE_DAYS"),
        min=0.0001,
        help="Lifetime of the issued certificate, in days. Renewed after two thirds.",
    ),
]
CaDays = Annotated[
    float,
    typer.Option(
        envvar=env("CA_DAYS"), min=0.0002, help="Lifetime of the issuing CA, in days. Renewed after two thirds."
    ),
]
PropagationSeconds = Annotated[
    float,
    typer.Option(
        envvar=env("PROPAGATION_SECONDS"),
        min=0,
        help="How long a rotation waits between two steps, in seconds, so that every replica and API server has seen "
        "the previous one.",
    ),
]
RemoveWithNamespace = Annotated[
    bool,
    typer.Option(
        "--remove-with-namespace",
        envvar=env("REMOVE_WITH_NAMESPACE"),
        help="Make the Secret's namespace the owner of the webhook configurations, so that Kubernetes deletes them "
        "with it.",
    ),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(envvar=env("LOG_FORMAT"), help="Format of the log. Default: json; with --dev: console."),
]
LogLevelOption = Annotated[LogLevel, typer.Option(envvar=env("LOG_LEVEL"), help="Lowest level that is logged.")]

ManifestFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-f",
        "--file",
        envvar=env("FILE"),
        metavar="PATH",
        help="File or directory of manifests, YAML or JSON; can be repeated (in the variable: separated by `:`). "
        "-: standard input, the default.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("-R", "--recursive", envvar=env("RECURSIVE"), help="Also read the directories in directories.")
]
OfflineSettings = Annotated[
    str,
    typer.Option(
        envvar=env("SETTINGS"), metavar="SOURCE", help="Source of the settings: embedded (defaults) or file:PATH."
    ),
]
FactsFile = Annotated[
    Path | None,
    typer.Option(
        envvar=env("FACTS"),
        help="File with the cluster objects to look up: ServiceAccounts, Secrets, ClusterStorageContainers "
        "and PersistentVolumeClaims. Without it, nothing is looked up.",
    ),
]
Namespace = Annotated[
    str, typer.Option("-n", "--namespace", envvar=env("NAMESPACE"), help="Namespace of manifests that do not set one.")
]
Deployments = Annotated[
    bool,
    typer.Option(
        "--deployments",
        envvar=env("DEPLOYMENTS"),
        help="Show what the Deployment webhook would do, instead of the pod webhook.",
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        envvar=env("OUTPUT"),
        help="Output format. patch: a JSON patch per document, one per line; diff: a unified diff.",
    ),
]

Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        envvar=env("EXPLAIN"),
        help="Print one line for each pod instead of the manifests: the outcome, its reason, the annotations that were "
        "looked for and where, the containers, and warnings.",
    ),
]

SettingsFile = Annotated[
    str,
    typer.Option(
        "-f",
        "--file",
        envvar=env("FILE"),
        metavar="FILE",
        help="ConfigMap manifest, or settings alone. -: standard input.",
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        envvar=env("AS"),
        metavar="NAMESPACE/SERVICEACCOUNT",
        help="Say what pods of this service account may do with each --uri.",
    ),
]
Uris = Annotated[
    list[str] | None,
    typer.Option("--uri", envvar=env("URI"), metavar="URI", help="Model, or directory of a shared cache. Repeatable."),
]
Strict = Annotated[bool, typer.Option("--strict", envvar=env("STRICT"), help="Treat warnings as errors.")]

AuditNamespace = Annotated[
    str | None, typer.Option("-n", "--namespace", envvar=env("NAMESPACE"), help="Audit only pods in this namespace.")
]
AllNamespaces = Annotated[
    bool,
    typer.Option(
        "-A", "--all-namespaces", envvar=env("ALL_NAMESPACES"), help="Audit pods in all namespaces (the default)."
    ),
]
AuditSettings = Annotated[
    str,
    typer.Option(
        envvar=env("SETTINGS"),
        metavar="SOURCE",
        help="Source of the webhook's settings: embedded (defaults) or file:PATH.",
    ),
]
AuditConfiguration = Annotated[
    str,
    typer.Option(
        envvar=env("CONFIGURATION"), help="MutatingWebhookConfiguration of the webhook, used to explain the findings."
    ),
]
AuditOutput = Annotated[TableOutput, typer.Option("-o", "--output", envvar=env("OUTPUT"), help="Output format.")]
DoctorAddress = Annotated[
    str | None,
    typer.Option(
        envvar=env("ADDRESS"),
        metavar="HOST:PORT",
        help="Where the webhook can be reached from here, such as a port that `kubectl port-forward` forwards. "
        "Default: the address that is registered.",
    ),
]
DoctorOutput = Annotated[TableOutput, typer.Option("-o", "--output", envvar=env("OUTPUT"), help="Output format.")]
