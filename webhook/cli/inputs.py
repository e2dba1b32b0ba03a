"""Manifests, settings and facts that commands read from files. An unusable file ends the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from webhook.cli.console import UNUSABLE, display_name, exit_with, print_lines

if TYPE_CHECKING:
    from webhook.offline import facts_file
    from webhook.settings.model import Settings
    from webhook.settings.parse import Problem


_MANIFESTS = frozenset({".yaml", ".yml", ".json"})


def manifest_files(paths: Sequence[Path], recursive: bool) -> list[str]:
    """The files to read: for a directory those in it with the extension of a manifest, as in kubectl."""
    files: list[str] = []
    for path in paths:
        found = _files_in(path, recursive) if path.is_dir() else [path]
        if not found:
            advice = "" if recursive else "; use -R to read the directories in it"
            exit_with(f"{path}: the directory contains no .yaml, .yml or .json file{advice}", UNUSABLE)
        files += map(str, found)
    return files


def _files_in(directory: Path, recursive: bool) -> list[Path]:
    found = directory.rglob("*") if recursive else directory.iterdir()
    return sorted(path for path in found if path.suffix in _MANIFESTS and path.is_file())


def read_text(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        typer.echo("Reading from standard input. Press Ctrl-D to end, or use -f FILE.", err=True)
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        exit_with(f"{display_name(file)}: {error.strerror or error}", UNUSABLE)
    except UnicodeDecodeError:
        exit_with(f"{display_name(file)}: not UTF-8 text", UNUSABLE)


def load_manifests(file: str) -> list[Any]:
    from webhook.offline import manifests

    text = read_text(file)
    try:
        return manifests.load(text)
    except ValueError as error:
        exit_with(f"{display_name(file)}: {error}", UNUSABLE)


def load_settings(source: str) -> Settings:
    from webhook.settings.model import EMBEDDED

    if source == "embedded":
        return EMBEDDED
    kind, _, path = source.partition(":")
    if kind != "file" or not path:
        raise typer.BadParameter(f"--settings '{source}': use embedded or file:PATH")
    from webhook.settings.disk import load_file
    from webhook.settings.parse import SettingsError

    try:
        settings, warnings = load_file(Path(path))
    except SettingsError as error:
        exit_with("\n".join(_of_file(path, problem) for problem in error.problems), UNUSABLE)
    print_lines(f"warning: {path}: ", warnings, "yellow")
    return settings


def _of_file(path: str, problem: Problem) -> str:
    """A problem with the name of the file, which it has already when the whole file is unusable."""
    return str(problem) if problem.key == path else f"{path}: {problem}"


def load_facts(file: Path | None) -> facts_file.FactsFile | None:
    if file is None:
        return None
    from webhook.offline.facts_file import FactsFile

    return FactsFile(load_manifests(str(file)))
