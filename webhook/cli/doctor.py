"""`storage-webhook doctor`: what works in a cluster and what does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from webhook.cli import options as opt
from webhook.cli.choices import TableOutput
from webhook.cli.console import UNUSABLE, exit_with, table_console

if TYPE_CHECKING:
    from webhook.doctor.report import Check

_COLOURS = {"works": "green", "warning": "yellow", "broken": "red"}


def doctor(address: opt.DoctorAddress = None, output: opt.DoctorOutput = TableOutput.table) -> None:
    """Check a cluster: API server, registered webhook, settings, permissions, KServe, nodes and storage classes.

    Changes nothing. Uses the kubeconfig of KUBECONFIG, or the pod's service account.
    Exit code 1: something is broken; 2: the cluster cannot be reached.
    """
    from dataclasses import asdict

    from webhook.doctor.examination import Examination
    from webhook.doctor.report import Result
    from webhook.errors import ClusterConfigError, LookupFailed
    from webhook.kubernetes_api.client import api_client

    reachable = _parsed(address)
    try:
        checks = Examination(api_client(), reachable).run()
    except (ClusterConfigError, LookupFailed) as error:
        exit_with(str(error), UNUSABLE)
    if output is TableOutput.json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _print_table(checks)
    if any(check.result is Result.BROKEN for check in checks):
        raise typer.Exit(1)


def _parsed(address: str | None) -> tuple[str, int] | None:
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"--address '{address}': use HOST:PORT")
    return host.strip("[]"), int(port)


def _print_table(checks: list[Check]) -> None:
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    table = Table("AREA", "WHAT", "RESULT", "DETAIL", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[2].no_wrap = True
    previous = ""
    for check in checks:
        area = check.area if check.area != previous else ""
        previous = check.area
        table.add_row(area, check.subject, Text(check.result, _COLOURS.get(check.result, "")), check.detail)
    table_console().print(table)
    counts = Counter(check.result for check in checks)
    typer.echo(", ".join(f"{result}: {counts[result]}" for result in type(checks[0].result) if counts[result]))
