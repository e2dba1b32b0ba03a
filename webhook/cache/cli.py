"""`storage-webhook cache`: see and tidy a cache directory, where its claim is mounted."""

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
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from webhook.cache.store import Entry, Removal, Rules, Tick

FAILED = 1
UNUSABLE = 2
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

app = typer.Typer(
    help="See and tidy a shared cache, where its claim is mounted.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Output(StrEnum):
    """What is printed."""

    table = "table"
    json = "json"


def _env(name: str) -> str:
    return f"STORAGE_WEBHOOK_CACHE_{name}"


def seconds(text: str) -> float:
    """A duration such as 90s, 30m, 12h, 7d, 2w or 1d12h, in seconds. Raises typer.BadParameter."""
    parts = re.findall(r"(\d+)([smhdw])", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 30m, 12h or 7d")
    return float(sum(int(number) * UNITS[unit] for number, unit in parts))


def size(text: str) -> int:
    """A size such as 500Gi, in bytes. Raises typer.BadParameter."""
    from webhook.quantity import parse_positive

    try:
        return int(parse_positive(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a size such as 800Mi, 500Gi or 2Ti") from None


Directory = Annotated[
    Path,
    typer.Argument(envvar=_env("DIRECTORY"), help="The cache directory: <where the claim is mounted>/<dir>."),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", envvar=_env("OUTPUT"))]
UnusedFor = Annotated[
    float | None,
    typer.Option(
        parser=seconds, envvar=_env("UNUSED_FOR"), metavar="DURATION", help="Remove models no pod asked for so long."
    ),
]
MaxSize = Annotated[
    int | None,
    typer.Option(
        parser=size,
        envvar=_env("MAX_SIZE"),
        metavar="SIZE",
        help="Remove the longest unused models until the rest fits.",
    ),
]
Grace = Annotated[
    float,
    typer.Option(
        parser=seconds, envvar=_env("GRACE"), metavar="DURATION", help="Keep what a pod asked for so recently."
    ),
]
Pods = Annotated[
    str | None,
    typer.Option(
        envvar=_env("PODS"),
        metavar="FILE",
        help="Keep what these pods mount: the output of `kubectl get pods -o json`; - is standard input.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", envvar=_env("NAMESPACE"), help="Keep what pods of this namespace mount."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", envvar=_env("DRY_RUN"), help="Say what would go; remove nothing.")]


@app.command("list")
def list_models(directory: Directory, output: OutputOption = Output.table) -> None:
    """List the models: sizes, ages, what is incomplete and what is being written."""
    entries = _scan(directory)
    if output is Output.json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
    else:
        _console().print(_entries_table(entries, time.time()))
        typer.echo(f"{len(entries)} in all, {amount(sum(_bytes(entry) for entry in entries))}")


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
    """Remove the rest of interrupted downloads, damaged models, and models by age and by size.

    Never what is being written, was asked for within the grace time, or is mounted by the pods given.
    Exit code 1: something could not be removed; 2: the directory, the pods or the cluster cannot be read.
    """
    from webhook.cache.store import Rules, plan

    rules = Rules(unused_for, max_size, grace, _listed(pods) | _in_cluster(namespace))
    entries, now = _scan(directory), time.time()
    removals = plan(entries, rules, now)
    failures: list[str] = []
    done = removals if dry_run else _carry_out(directory, removals, rules, failures)
    left = sum(_bytes(entry) for entry in entries) - sum(removal.bytes for removal in done)
    _report(output, done, left, dry_run)
    if max_size is not None and left > max_size:
        _say(f"{amount(left)} stay, more than --max-size: they are in use, or were within the grace time", "yellow")
    for failure in failures:
        _say(failure, "red")
    if failures:
        raise typer.Exit(FAILED)


def _scan(directory: Path) -> list[Entry]:
    from webhook.cache.store import scan

    try:
        with _progress(f"Looking at {directory}", None) as tick:
            return scan(directory, tick)
    except OSError as error:
        _unusable(f"cannot read the cache {directory}: {error.strerror}: name the directory of a mounted claim")


def _carry_out(directory: Path, removals: list[Removal], rules: Rules, failures: list[str]) -> list[Removal]:
    """Remove, saying so; gives what is gone, and adds to `failures` what could not be removed."""
    from webhook.cache.store import remove

    done = []
    with _progress("Removing", sum(removal.bytes for removal in removals)) as tick:
        for removal in removals:
            _say(f"removing {removal.key} ({amount(removal.bytes)}): {removal.reason}")
            try:
                if remove(directory, removal, rules, time.time(), tick):
                    done.append(removal)
                else:
                    _say(f"kept {removal.key}: a pod has asked for it just now")
            except OSError as error:
                failures.append(f"cannot remove {removal.key}: {error}")
    return done


def _listed(pods: str | None) -> frozenset[str]:
    """What the pods in a file mount."""
    from webhook.cache.store import mounted_keys

    if pods is None:
        return frozenset()
    try:
        return mounted_keys(json.loads(sys.stdin.read() if pods == "-" else Path(pods).read_text("utf-8")))
    except (OSError, ValueError) as error:
        _unusable(f"--pods {pods}: {error}")


def _in_cluster(namespace: str | None) -> frozenset[str]:
    """What the pods of a namespace mount."""
    if namespace is None:
        return frozenset()
    from webhook.cache.pods import pods_of
    from webhook.cache.store import mounted_keys
    from webhook.errors import ClusterConfigError, LookupFailed
    from webhook.kube import api_client

    try:
        return mounted_keys(pods_of(api_client(), namespace))
    except (ClusterConfigError, LookupFailed) as error:
        _unusable(str(error))


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[Tick]:
    """A bar on standard error while the block runs, where somebody is watching; gives what moves it."""
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
        _console().print(_removals_table(removals))
    typer.echo(f"{'would free' if dry_run else 'freed'} {amount(freed)}; {amount(left)} stay")


def _entries_table(entries: list[Entry], now: float) -> Table:
    table = _table("KEY", "STATE", "SIZE", "FILES", "DOWNLOADED", "LAST USED", "WHAT")
    for entry in entries:
        used = f"{age(now - entry.last_used)} ago" if entry.last_used else ""
        what = entry.uri or entry.holder
        row = (entry.key, entry.state, amount(_bytes(entry)), str(entry.files), entry.downloaded, used, what)
        table.add_row(*row)
    return table


def _removals_table(removals: list[Removal]) -> Table:
    table = _table("KEY", "WHAT", "SIZE", "WHY")
    for removal in removals:
        what = "model" if removal.is_model else "leftovers"
        table.add_row(removal.key, what, amount(removal.bytes), removal.reason)
    return table


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("SIZE", "FILES") else "left", overflow="fold")
    return table


def _console() -> Any:
    """Standard output; wide where it is no terminal, so that logs and pipes get whole lines."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=400)


def _bytes(entry: Entry) -> int:
    return entry.bytes + entry.leftover_bytes


def amount(count: int) -> str:
    """Bytes for people."""
    power = min(max(count.bit_length() - 1, 0) // 10, 4)
    return f"{count / 1024**power:.{min(power, 1)}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def age(duration: float) -> str:
    """Seconds for people: the largest unit that fits, up to days. Clocks that disagree give 0s."""
    duration = max(duration, 0)
    unit = next((unit for unit in "dhms" if duration >= UNITS[unit]), "s")
    return f"{int(duration // UNITS[unit])}{unit}"


def _say(text: str, colour: str | None = None) -> None:
    typer.secho(text, fg=colour, err=True)


def _unusable(text: str) -> NoReturn:
    _say(text, "red")
    raise typer.Exit(UNUSABLE)
