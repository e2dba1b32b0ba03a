"""Environment variables with the prefix of the options: those that are not options, and those that Kubernetes sets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

PREFIX = "STORAGE_WEBHOOK_"

# Kubernetes sets these in a pod for each Service of its namespace. A Service `storage-webhook` sets the variable of the
# option --port to an address, such as tcp://10.96.0.1:443.
_OF_A_SERVICE = re.compile(PREFIX + r"(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")


def service_links(environ: Mapping[str, str]) -> list[str]:
    """The variables that Kubernetes sets for Services (`enableServiceLinks`), and that look like those of options."""
    return [
        name
        for name, value in environ.items()
        if name.startswith(PREFIX) and (_OF_A_SERVICE.fullmatch(name) or _ADDRESS.fullmatch(value))
    ]


def unknown_variables(environ: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """A sentence for each variable with the prefix that is not in `known`, with the nearest one that is."""
    names = sorted(known)
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(
                name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in names], 1
            )
            yield f"environment variable {name} is unknown and has no effect" + (
                f"; did you mean {PREFIX}{near[0]}?" if near else ""
            )
