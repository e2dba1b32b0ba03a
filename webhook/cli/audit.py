"""`storage-webhook audit`: list the pods that requested a model but were not injected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from webhook.cli import options as opt
from webhook.cli.choices import TableOutput
from webhook.cli.console import UNUSABLE, exit_with
from webhook.cli.inputs import load_settings

if TYPE_CHECKING:
    from webhook.server.audit import Finding


def audit(
    namespace: opt.AuditNamespace = None,
    all_namespaces: opt.AllNamespaces = False,
    settings: opt.AuditSettings = "embedded",
    configuration: opt.AuditConfiguration = "",
    output: opt.AuditOutput = TableOutput.table,
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
        findings = Auditor(api_client(), configuration).audit(load_settings(settings), namespace)
    except (ClusterConfigError, LookupFailed) as error:
        exit_with(str(error), UNUSABLE)
    _print_findings(findings, output)
    if findings:
        raise typer.Exit(1)


def _print_findings(findings: list[Finding], output: TableOutput) -> None:
    from dataclasses import asdict

    if output is TableOutput.json:
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
