"""Runs the command line in this process, and in one of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer
from click.testing import CliRunner, Result

from webhook.cli.app import app

COMMAND: Any = typer.main.get_command(app)


def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Result:
    """Run in this process, without start-up cost and without variables of options from outside."""
    outside: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("STORAGE_WEBHOOK_"))
    return CliRunner().invoke(COMMAND, list(arguments), input=stdin, env={**outside, **(env or {})})


def storage_webhook(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run in a process, without variables of options from outside."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_WEBHOOK_")}
    return subprocess.run(
        [sys.executable, "-m", "webhook", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean, **env},
    )


def written(directory: Path, text: str, name: str = "input.yaml") -> str:
    """Write a file, with its directories. Returns its path."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)
