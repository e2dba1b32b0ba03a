"""The options of the command line: each one's name, environment variable and words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


class TableOutput(StrEnum):
    """What lists look like."""

    table = "table"
    json = "json"


class Output(StrEnum):
    """What `mutate` prints."""

    yaml = "yaml"
    json = "json"
    patch = "patch"
    diff = "diff"


def env(name: str) -> str:
    return f"STORAGE_WEBHOOK_{name}"


Dev = Annotated[
    bool,
    typer.Option(
        "--dev",
        envvar=env("DEV"),
        help="Defaults for a laptop: a certificate made in memory, loopback only, console log, API docs at /docs.",
    ),
]
Host = Annotated[
    str | None, typer.Option(envvar=env("HOST"), help="Address to listen on. Default: 0.0.0.0; dev: 127.0.0.1.")
]
Port = Annotated[int, typer.Option(envvar=env("PORT"), min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
TlsCertFile = Annotated[
    Path | None, typer.Option(envvar=env("TLS_CERT_FILE"), help="Certificate chain (PEM). Reloaded on change.")
]
TlsKeyFile = Annotated[
    Path | None, typer.Option(envvar=env("TLS_KEY_FILE"), help="Private key of the certificate (PEM).")
]
ClientCaFile = Annotated[
    Path | None,
    typer.Option(envvar=env("CLIENT_CA_FILE"), help="Only callers with a certificate of this CA may mutate."),
]
SettingsOption = Annotated[
    str,
    typer.Option(envvar=env("SETTINGS"), metavar="SOURCE", help="embedded, file:PATH or configmap:NAMESPACE/NAME."),
]
Cluster = Annotated[
    bool,
    typer.Option(
        "--cluster",
        envvar=env("CLUSTER"),
        help="Look up service accounts, secrets and storage containers. Always on with configmap: settings.",
    ),
]
MetricsPort = Annotated[
    int, typer.Option(envvar=env("METRICS_PORT"), min=0, max=65535, help="Port of /metrics (HTTP); 0: none.")
]
DrainSeconds = Annotated[
    float,
    typer.Option(envvar=env("DRAIN_SECONDS"), min=0, help="After SIGTERM: seconds to go on taking requests."),
]
MaxInFlight = Annotated[
    int, typer.Option(envvar=env("MAX_IN_FLIGHT"), min=1, help="Requests in work at once; more are answered with 503.")
]
MaxConnections = Annotated[
    int,
    typer.Option(
        envvar=env("MAX_CONNECTIONS"),
        min=1,
        help="Connections open at once; for one more, one that was never answered, or the longest silent, is closed.",
    ),
]
Events = Annotated[
    bool, typer.Option("--events", envvar=env("EVENTS"), help="Tell of refusals as Events on the pods' owners.")
]
AuditSeconds = Annotated[
    float,
    typer.Option(
        envvar=env("AUDIT_SECONDS"), min=0, help="Seconds between two audits of all pods, for the metric; 0: none."
    ),
]
Traces = Annotated[
    bool,
    typer.Option("--traces", envvar=env("TRACES"), help="OpenTelemetry traces, by OTEL_… variables (extra otel)."),
]
CertificateSecret = Annotated[
    str | None,
    typer.Option(
        envvar=env("CERTIFICATE_SECRET"),
        metavar="NAMESPACE/NAME",
        help="Make, keep and rotate the certificate in this Secret, instead of reading files.",
    ),
]
CertificateNames = Annotated[
    str, typer.Option(envvar=env("CERTIFICATE_NAMES"), help="Its DNS names, separated by commas: those of the Service.")
]
WebhookConfigurations = Annotated[
    str,
    typer.Option(
        envvar=env("WEBHOOK_CONFIGURATIONS"),
        help="Webhook configurations that get its CA as caBundle, separated by commas.",
    ),
]
CertificateDays = Annotated[
    float, typer.Option(envvar=env("CERTIFICATE_DAYS"), min=0.0001, help="Lifetime; renewed after two thirds.")
]
CaDays = Annotated[
    float, typer.Option(envvar=env("CA_DAYS"), min=0.0002, help="Lifetime of its CA; renewed after two thirds.")
]
SettleSeconds = Annotated[
    float,
    typer.Option(
        envvar=env("SETTLE_SECONDS"),
        min=0,
        help="Between two steps of a rotation; longer than a replica is late.",
    ),
]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option(envvar=env("LOG_FORMAT"), help="Default: json; dev: console.")
]
LogLevelOption = Annotated[LogLevel, typer.Option(envvar=env("LOG_LEVEL"))]

ManifestFile = Annotated[
    str,
    typer.Option(
        "-f", "--file", envvar=env("FILE"), metavar="FILE", help="Manifests (YAML or JSON); - is standard input."
    ),
]
OfflineSettings = Annotated[str, typer.Option(envvar=env("SETTINGS"), metavar="SOURCE", help="embedded or file:PATH.")]
FactsFile = Annotated[
    Path | None,
    typer.Option(
        envvar=env("FACTS"),
        help="Manifests of what the cluster holds: ServiceAccounts, Secrets, ClusterStorageContainers, claims.",
    ),
]
Namespace = Annotated[str, typer.Option("-n", "--namespace", envvar=env("NAMESPACE"), help="Of pods that name none.")]
Deployments = Annotated[
    bool,
    typer.Option(
        "--deployments", envvar=env("DEPLOYMENTS"), help="Do what the Deployment webhook does, instead of the pods'."
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option("-o", "--output", envvar=env("OUTPUT"), help="patch: one JSON patch a document; diff: for people."),
]

SettingsFile = Annotated[
    str,
    typer.Option(
        "-f",
        "--file",
        envvar=env("FILE"),
        metavar="FILE",
        help="A ConfigMap or bare settings; - is standard input.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", envvar=env("STRICT"), help="Warnings are errors.")]

AuditNamespace = Annotated[
    str | None, typer.Option("-n", "--namespace", envvar=env("NAMESPACE"), help="Only pods of this namespace.")
]
AllNamespaces = Annotated[
    bool,
    typer.Option("-A", "--all-namespaces", envvar=env("ALL_NAMESPACES"), help="Pods of all namespaces (the default)."),
]
AuditSettings = Annotated[
    str,
    typer.Option(envvar=env("SETTINGS"), metavar="SOURCE", help="The webhook's settings: embedded or file:PATH."),
]
AuditConfiguration = Annotated[
    str,
    typer.Option(
        envvar=env("CONFIGURATION"), help="The MutatingWebhookConfiguration, to tell why a pod slipped through."
    ),
]
AuditOutput = Annotated[TableOutput, typer.Option("-o", "--output", envvar=env("OUTPUT"))]
