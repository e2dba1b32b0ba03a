"""The HTTPS server: listener, connections, routes, response cache, logs, metrics, traces, Events, audit, start-up.

All I/O of a running webhook starts here. What happens to a pod is decided in `admission`, never here.
"""

from __future__ import annotations

import sys


def _import_structlog_without_rich() -> None:
    """structlog loads rich for tracebacks that the log never has: a tenth of the time to start, and 3 MB."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


_import_structlog_without_rich()
