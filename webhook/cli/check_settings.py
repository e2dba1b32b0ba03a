"""`storage-webhook check-settings`: validate settings."""

from __future__ import annotations

import typer

from webhook.cli import options as opt
from webhook.cli.console import UNUSABLE, display_name, exit_with, print_lines
from webhook.cli.inputs import read_text


def check_settings(
    file: opt.SettingsFile = "-",
    strict: opt.Strict = False,
    requester: opt.As = None,
    uris: opt.Uris = None,
) -> None:
    """Validate settings, and print those that would be in effect, with defaults.

    With --as and --uri, print what pods may do with each URI instead, and the setting that decides.
    Exit code 1: the settings are invalid, for the reasons on standard error; 2: the input cannot be read.
    """
    from webhook.settings.check import check, permissions

    if (requester is None) != (not uris):
        exit_with("--as and --uri belong together: set both, or none", UNUSABLE)

    text = read_text(file)
    try:
        result = check(text)
    except ValueError as error:
        exit_with(f"{display_name(file)}: {error}", UNUSABLE)
    print_lines(*(("error: ", result.warnings, "red") if strict else ("warning: ", result.warnings, "yellow")))
    print_lines("error: ", result.problems, "red")
    if result.problems or (strict and result.warnings):
        raise typer.Exit(1)
    if requester is None:
        typer.echo(result.effective, nl=False)
        return
    try:
        typer.echo("\n".join(permissions(text, requester, uris or [])))
    except ValueError as error:
        exit_with(str(error), UNUSABLE)
