"""The HTTPS server: listener, connections, routes, response cache, logs, metrics, traces, Events, audit, start-up.

All I/O of a running webhook starts here. What happens to a pod is decided in `admission`, never here.
"""

from webhook.server.packages import load_structlog

load_structlog()
