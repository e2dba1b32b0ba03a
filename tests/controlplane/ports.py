"""Ports on loopback that stay ours, also while the server that uses them is down."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A free TCP port, held until the end for servers of this user that bind it with SO_REUSEPORT.

    The socket that holds it never listens, so connections are refused while no server does.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
