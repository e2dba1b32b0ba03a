"""The command line. Commands import what they need when they run, so that `mutate` starts fast."""

from __future__ import annotations

import typer

from webhook.cli.audit import audit
from webhook.cli.cache import app as cache_app
from webhook.cli.certificates import app as certs_app
from webhook.cli.check_settings import check_settings
from webhook.cli.mutate import mutate
from webhook.cli.serve import serve

app = typer.Typer(
    help="Delivers ML models to Kubernetes pods: runs the admission webhook, and previews, checks and audits its work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(mutate)
app.command("check-settings")(check_settings)
app.command()(audit)
app.add_typer(cache_app, name="cache")
app.add_typer(certs_app, name="certs")
