"""An S3 server (moto's) on a free port of loopback, which it prints; ends when its standard input does.

Runs in the environment of `environment.py`.
"""

import sys

from moto.server import ThreadedMotoServer  # type: ignore[import-not-found]

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
