"""`storage-webhook cache`: the models in a shared cache."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from webhook.cli.console import table_console

if TYPE_CHECKING:
    from rich.table import Table

    from webhook.download.store import Entry, OnProgress, Removal, Rules

FAILED = 1
UNUSABLE = 2
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

app = typer.Typer(
    help="Warm a shared cache, and list, verify and prune the models in it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Output(StrEnum):
    """Output formats."""

    table = "table"
    json = "json"


def _env(name: str) -> str:
    return f"STORAGE_WEBHOOK_CACHE_{name}"


def parse_duration(text: str) -> float:
    """Parse a duration such as 90s, 30m, 12h, 7d, 2w or 1d12h to seconds. Raises typer.BadParameter."""
    parts = re.findall(r"(\d+)([smhdw])", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 30m, 12h or 7d")
    return float(sum(int(number) * UNITS[unit] for number, unit in parts))


def parse_size(text: str) -> int:
    """Parse a size such as 500Gi to bytes. Raises typer.BadParameter."""
    from webhook.quantity import parse_positive

    try:
        return int(parse_positive(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a size such as 800Mi, 500Gi or 2Ti") from None


Directory = Annotated[
    Path,
    typer.Argument(
        envvar=_env("DIRECTORY"), help="The cache directory: the mount path of the claim and the directory in it."
    ),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", envvar=_env("OUTPUT"), help="Output format.")]
UnusedFor = Annotated[
    float | None,
    typer.Option(
        parser=parse_duration,
        envvar=_env("UNUSED_FOR"),
        metavar="DURATION",
        help="Remove models that no pod requested for this long.",
    ),
]
MaxSize = Annotated[
    int | None,
    typer.Option(
        parser=parse_size,
        envvar=_env("MAX_SIZE"),
        metavar="SIZE",
        help="Remove the least recently used models until the cache is no larger.",
    ),
]
Grace = Annotated[
    float,
    typer.Option(
        parser=parse_duration,
        envvar=_env("GRACE"),
        metavar="DURATION",
        help="Keep models that a pod requested within this time.",
    ),
]
Pods = Annotated[
    str | None,
    typer.Option(
        envvar=_env("PODS"),
        metavar="FILE",
        help="Keep models that these pods mount: output of `kubectl get pods -o json`. -: standard input.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "-n",
        "--namespace",
        envvar=_env("NAMESPACE"),
        help="Keep models that pods in this namespace mount. Reads the pods from the cluster.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", envvar=_env("DRY_RUN"), help="Show what would be removed, and remove nothing.")
]


@app.command("list")
def list_models(directory: Directory, output: OutputOption = Output.table) -> None:
    """List the models with their state, size and last use.

    Exit code 2: the directory cannot be read.
    """
    entries = scan_directory(directory)
    if output is Output.json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
    else:
        table_console().print(_entries_table(entries, time.time()))
        typer.echo(f"models: {len(entries)}, total size: {format_size(sum(_bytes(entry) for entry in entries))}")


@app.command()
def prune(
    directory: Directory,
    unused_for: UnusedFor = None,
    max_size: MaxSize = None,
    grace: Grace = "1d",  # type: ignore[assignment]
    namespace: Namespace = None,
    pods: Pods = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.table,
) -> None:
    """Remove leftovers of interrupted downloads, damaged models, and models selected by age or size.

    Keeps downloads in progress, models requested within the grace period, and models that the given pods mount.
    Exit code 1: something could not be removed; 2: the directory, the pods or the cluster cannot be read.
    """
    from webhook.download.store import Rules, plan

    rules = Rules(unused_for, max_size, grace, mounted_in_file(pods) | mounted_in_cluster(namespace))
    entries, now = scan_directory(directory), time.time()
    removals = plan(entries, rules, now)
    failures: list[str] = []
    done = removals if dry_run else _carry_out(directory, removals, rules, failures)
    left = sum(_bytes(entry) for entry in entries) - sum(removal.bytes for removal in done)
    _report(output, done, left, dry_run)
    if max_size is not None and left > max_size:
        print_message(
            f"{format_size(left)} remain, more than --max-size: mounted, or requested within the grace period",
            "yellow",
        )
    if namespace is None and pods is None and any(removal.is_model for removal in done):
        print_message(
            "without --namespace or --pods, running pods are not known: a restarted container of a pod that mounts a "
            "removed model finds an empty directory; delete such pods",
            "yellow",
        )
    for failure in failures:
        print_message(failure, "red")
    if failures:
        raise typer.Exit(FAILED)


def scan_directory(directory: Path) -> list[Entry]:
    from webhook.download.store import scan

    try:
        with progress_bar(f"Reading {directory}", None) as tick:
            entries = scan(directory, tick)
    except OSError as error:
        exit_unusable(f"cannot read the cache {directory}: {error.strerror}: use the directory of a mounted claim")
    for entry in entries:
        if entry.unreadable:
            print_message(
                f"{entry.key} is left out: no permission to read {entry.unreadable}. Run this command as a user who "
                "may read it, or remove it",
                "yellow",
            )
    return entries


def _carry_out(directory: Path, removals: list[Removal], rules: Rules, failures: list[str]) -> list[Removal]:
    """Remove and report each. Returns the completed removals, and adds a message to `failures` for each failed one."""
    from webhook.download.store import remove

    done = []
    with progress_bar("Removing", sum(removal.bytes for removal in removals)) as tick:
        for removal in removals:
            print_message(f"removing {removal.key} ({format_size(removal.bytes)}): {removal.reason}")
            try:
                if remove(directory, removal, rules, time.time(), tick):
                    done.append(removal)
                else:
                    print_message(f"kept {removal.key}: a pod has just requested it")
            except OSError as error:
                failures.append(f"cannot remove {removal.key}: {error}")
    return done


def mounted_in_file(pods: str | None) -> frozenset[str]:
    """The keys that the pods in a file mount."""
    from webhook.download.store import mounted_keys

    if pods is None:
        return frozenset()
    try:
        return mounted_keys(json.loads(sys.stdin.read() if pods == "-" else Path(pods).read_text("utf-8")))
    except (OSError, ValueError) as error:
        exit_unusable(f"--pods {pods}: {error}")


def mounted_in_cluster(namespace: str | None) -> frozenset[str]:
    """The keys that the pods in a namespace mount."""
    if namespace is None:
        return frozenset()
    from webhook.download.pods import pods_of
    from webhook.download.store import mounted_keys
    from webhook.errors import ClusterConfigError, LookupFailed
    from webhook.kubernetes_api.client import api_client

    try:
        return mounted_keys(pods_of(api_client(), namespace))
    except (ClusterConfigError, LookupFailed) as error:
        exit_unusable(str(error))


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[OnProgress]:
    """Show a progress bar on standard error if that is a terminal. Yields the function that advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        advance: Callable[[int, float], None] = progress.advance  # type: ignore[assignment]
        yield lambda count: advance(task, count)


def _report(output: Output, removals: list[Removal], left: int, dry_run: bool) -> None:
    freed = sum(removal.bytes for removal in removals)
    if output is Output.json:
        document = {
            "dryRun": dry_run,
            "removed": [asdict(removal) for removal in removals],
            "freedBytes": freed,
            "leftBytes": left,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    if removals:
        table_console().print(_removals_table(removals))
    typer.echo(f"{'would free' if dry_run else 'freed'} {format_size(freed)}; {format_size(left)} remain")


def _entries_table(entries: list[Entry], now: float) -> Table:
    table = new_table("KEY", "STATE", "SIZE", "FILES", "DOWNLOADED", "LAST USED", "MODEL")
    for entry in entries:
        used = f"{format_age(now - entry.last_used)} ago" if entry.last_used else ""
        what = entry.uri or entry.holder
        row = (entry.key, entry.state, format_size(_bytes(entry)), str(entry.files), entry.downloaded, used, what)
        table.add_row(*row)
    return table


def _removals_table(removals: list[Removal]) -> Table:
    table = new_table("KEY", "TYPE", "SIZE", "REASON")
    for removal in removals:
        what = "model" if removal.is_model else "leftovers"
        table.add_row(removal.key, what, format_size(removal.bytes), removal.reason)
    return table


def new_table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("SIZE", "FILES") else "left", overflow="fold")
    return table


def _bytes(entry: Entry) -> int:
    return entry.bytes + entry.leftover_bytes


def format_size(count: int) -> str:
    """Format bytes with a binary unit."""
    power = min(max(count.bit_length() - 1, 0) // 10, 4)
    return f"{count / 1024**power:.{min(power, 1)}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def format_age(duration: float) -> str:
    """Format seconds in the largest unit that fits, up to days. Negative values (clock skew) give 0s."""
    duration = max(duration, 0)
    unit = next((unit for unit in "dhms" if duration >= UNITS[unit]), "s")
    return f"{int(duration // UNITS[unit])}{unit}"


def print_message(text: str, colour: str | None = None) -> None:
    typer.secho(text, fg=colour, err=True)


def exit_unusable(text: str) -> NoReturn:
    print_message(text, "red")
    raise typer.Exit(UNUSABLE)
