"""A registry whose clients need a token, at the node's address."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.controlplane.child import Child
from tests.node import packages
from tests.node.network import NODE_IP

PORT = 5000
ADDRESS = f"{NODE_IP}:{PORT}"


@contextmanager
def registry(directory: Path, tokens: str) -> Iterator[str]:
    """Run an empty registry with its files in `directory`. Yields its host and port.

    `tokens` is the URL where clients get their token. The registry accepts every token: who gets one decides.
    """
    configuration = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {"addr": ADDRESS},
        "auth": {"silly": {"realm": tokens, "service": "models"}},
    }
    (directory / "registry.yaml").write_text(json.dumps(configuration))  # YAML is a superset of JSON
    command = [str(packages.registry()), "serve", str(directory / "registry.yaml")]
    child = Child(command, directory / "registry.log", _answers(f"http://{ADDRESS}/v2/"))
    child.start()
    try:
        yield ADDRESS
    finally:
        child.stop()


def _answers(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return httpx.get(url, trust_env=False).status_code == httpx.codes.UNAUTHORIZED
        except httpx.HTTPError:
            return False

    return answers
