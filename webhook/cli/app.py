"""The command line. Commands import what they need when they run, so that `mutate` starts fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import typer

from webhook.cli import options as opt
from webhook.cli.audit import audit
from webhook.cli.cache import app as cache_app
from webhook.cli.certificates import app as certs_app
from webhook.cli.check_settings import check_settings
from webhook.cli.console import print_lines
from webhook.cli.digest import digest
from webhook.cli.doctor import doctor
from webhook.cli.mutate import mutate
from webhook.cli.serve import serve
from webhook.cli.verify import verify
from webhook.cli.warm import warm
from webhook.terminal import has_colours

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(mutate)
app.command("check-settings")(check_settings)
app.command()(audit)
app.command()(doctor)
cache_app.command()(warm)
cache_app.command()(verify)
app.command()(digest)
app.add_typer(cache_app, name="cache")
app.add_typer(certs_app, name="certs")


@app.callback()
def main(context: typer.Context, version: opt.Version = False) -> None:
    """Delivers ML models to Kubernetes pods: runs the admission webhook, and previews, checks and audits its work."""
    if not has_colours(os.environ):
        context.color = False
    if any(name.startswith("STORAGE_WEBHOOK_") for name in os.environ):
        from webhook.cli import environment

        for name in environment.service_links(os.environ):
            del os.environ[name]
        unknown = environment.unknown_variables(os.environ, _variables(context.command))
        print_lines("warning: ", unknown, "yellow")


def _variables(command: Any) -> Iterator[str]:
    """The environment variables of the options of a command and its subcommands."""
    for parameter in command.params:
        yield from [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ()
    for inner in getattr(command, "commands", {}).values():
        yield from _variables(inner)
