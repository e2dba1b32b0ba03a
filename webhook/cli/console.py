"""What commands print on standard error, and how they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import typer

UNUSABLE = 2
"""The exit code for input that cannot be used."""


def print_lines(prefix: str, lines: Iterable[object], colour: str | None = None) -> None:
    for line in lines:
        typer.secho(f"{prefix}{line}", fg=colour, err=True)


def display_name(file: str) -> str:
    return "standard input" if file == "-" else file


def exit_with(message: str, code: int) -> NoReturn:
    print_error(message)
    raise typer.Exit(code)


def print_error(message: str) -> None:
    typer.secho(message, fg="red", err=True)


def table_console() -> Any:
    """A console on standard output; wide if that is not a terminal, so that logs and pipes get whole lines."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=400)
