"""Runs a server of one AWS service (moto) on a free port of an address and prints the port.

The arguments are the service, such as `s3`, and the address. Requests for other services fail, as with an S3-compatible
service. Stops when standard input is closed. Runs in the environment of `environment.py`.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app  # type: ignore[import-not-found]
from werkzeug.serving import make_server  # type: ignore[import-not-found]

application = create_backend_app(sys.argv[1])
server = make_server(sys.argv[2], 0, application, threaded=True, request_handler=MotoRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
server.shutdown()
