"""Whether output to a terminal has colours."""

from collections.abc import Mapping


def has_colours(environ: Mapping[str, str]) -> bool:
    """False if the user does not want colours (no-color.org), or the terminal has none (`TERM=dumb`)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
