"""`storage-webhook digest`: the value of the annotation for a model."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.console import UNUSABLE, exit_with


def digest(
    path: Annotated[Path, typer.Argument(help="A file, or a directory.", metavar="FILE|DIR", show_default=False)],
) -> None:
    """Print the SHA-256 of a model, for annotation storage.kserve.io/sha256.

    Of a directory, it is that of the sorted paths, sizes and digests of its files. The progress goes to the standard
    error. Exit codes: 0, or 2 if the model cannot be read.
    """
    from webhook.download.program.digest import digests
    from webhook.download.program.process import Failed

    try:
        # The program that runs in pods logs to the standard output.
        with contextlib.redirect_stdout(sys.stderr):
            found = digests(os.fspath(path).rstrip("/") or "/")
    except OSError as error:
        exit_with(f"{error.filename or path}: {error.strerror}", UNUSABLE)
    except Failed as error:
        exit_with(re.sub("^digest: ", "", str(error)), UNUSABLE)
    typer.echo(f"{found[0]}  {path}")
