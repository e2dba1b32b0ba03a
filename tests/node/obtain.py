"""Obtain what the tests with a node need: `python -m tests.node.obtain`.

Where no node can run, one line says so, and nothing is obtained.
"""

import sys

from tests.controlplane import binaries, pins
from tests.controlplane import obtain as controlplane
from tests.controlplane.console import ObtainError, say
from tests.node import packages, requirements, store
from tests.node.unused import mark_used, remove_unused


def main() -> int:
    """Obtain what is missing. Returns 1 if something cannot be obtained."""
    if needed := requirements.missing():
        say(f"The tests with a real node (tests/node) do not run here: they need {needed}.")
        return 0
    try:
        controlplane.obtain(pins.NODE_PROGRAMS)
        packages.obtain()
        store.obtain()
        for directory in (packages.directory(), store.directory()):
            mark_used(directory)
            remove_unused(directory)
    except (ObtainError, OSError) as error:
        say(f"The node for tests cannot be obtained: {error}. {advice()}")
        return 1
    return 0


def advice() -> str:
    """One line that says what is missing and how to obtain it; empty if nothing is missing."""
    programs = [program.name for program in binaries.missing(pins.NODE_PROGRAMS)]
    directories = [path.name for path in (packages.directory(), store.directory()) if not path.exists()]
    names = ", ".join([*programs, *directories])
    return f"Missing: {names}. Run `make node` with network access" if names else ""


if __name__ == "__main__":
    sys.exit(main())
