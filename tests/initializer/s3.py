"""Runs an S3 server (moto) on a free local port and prints the port. Stops when standard input is closed.

Runs in the environment of `environment.py`.
"""

import sys

from moto.server import ThreadedMotoServer  # type: ignore[import-not-found]

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
