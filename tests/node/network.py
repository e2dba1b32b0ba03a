"""A network namespace for this thread, with the node's address on a bridge of its own.

Sockets belong to the namespace in which their thread created them. Processes and threads that are started meanwhile
belong to it too. It disappears with the last of them.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.controlplane.pki import API_SERVICE

CLONE_NEWNET = 0x40000000
"""From sched.h. Python has os.unshare and os.setns since 3.12."""
NODE_IP = "10.78.0.1"
"""The node's address, which exists only in the namespace. The kubelet refuses a loopback address."""
PODS = "10.77.0.0/24"
"""The addresses of pods. They reach the node and the API server, and nothing else."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[None]:
    """Move this thread to a new network namespace, and back at the end."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        try:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", "node", "type", "bridge")
            _ip("address", "add", f"{NODE_IP}/32", "dev", "node")
            _ip("address", "add", f"{API_SERVICE}/32", "dev", "node")
            _ip("link", "set", "node", "up")
            yield
        finally:
            _check(_libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
