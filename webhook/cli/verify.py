"""`storage-webhook cache verify`: find damaged models in a shared cache, and move them away."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli import cache as options
from webhook.cli.cache import exit_unusable, format_size, mounted_in_cluster, mounted_in_file, new_table, progress_bar
from webhook.cli.console import table_console
from webhook.cli.options import env

if TYPE_CHECKING:
    from webhook.download.verification import Finding

MOVED = 1
REMAINS = 3

DryRun = Annotated[
    bool, typer.Option("--dry-run", envvar=env("CACHE_DRY_RUN"), help="Say what is damaged, and move nothing.")
]


def verify(
    directory: options.Directory,
    namespace: options.Namespace = None,
    pods: options.Pods = None,
    dry_run: DryRun = False,
    output: options.OutputOption = options.Output.table,
) -> None:
    """Check the record, the sizes and the digest of each model. Damaged models are moved away.

    Models without a digest in their record are not read. Damaged models that the given pods mount stay.
    Exit code 1: damaged models were moved away; 3: something damaged or unreadable remains; 2: the directory, the pods
    or the cluster cannot be read.
    """
    from webhook.download.verification import REMAINING, Verdict
    from webhook.download.verification import verify as verified

    mounted = mounted_in_file(pods) | mounted_in_cluster(namespace)
    try:
        # The digest logs its progress.
        with redirect_stdout(sys.stderr), progress_bar(f"Reading {directory}", None) as tick:
            findings = list(verified(directory, mounted, tick, repair=not dry_run))
    except OSError as error:
        exit_unusable(f"cannot read the cache {directory}: {error.strerror}: use the directory of a mounted claim")
    _print(findings, output)
    verdicts = {finding.verdict for finding in findings}
    if verdicts & REMAINING:
        raise typer.Exit(REMAINS)
    if Verdict.MOVED in verdicts:
        raise typer.Exit(MOVED)


def _print(findings: list[Finding], output: options.Output) -> None:
    from dataclasses import asdict

    if output is options.Output.json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    table = new_table("KEY", "RESULT", "SIZE", "MODEL", "REASON")
    for finding in findings:
        table.add_row(finding.key, finding.verdict, format_size(finding.bytes), finding.uri, finding.reason)
    table_console().print(table)
