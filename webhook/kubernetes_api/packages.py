"""The packages of the Kubernetes client, without the modules that nothing here imports."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

_PACKAGES = ("kubernetes", "kubernetes.config")


def load_only_named_modules() -> None:
    """Import from the client only the modules that are imported by name. Call it before the first import of the client.

    The `__init__` modules of these packages import everything in them, also what logs in by OAuth and what opens web
    sockets: 7 MB, and a tenth of the time to start.
    """
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is not None and name not in sys.modules:
            sys.modules[name] = module_from_spec(spec)
