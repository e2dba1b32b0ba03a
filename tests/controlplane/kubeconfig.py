"""Self-contained kubeconfig files, which reference no other files."""

import base64
from pathlib import Path

import yaml

from tests.controlplane.pki import Pair


def for_certificate(url: str, authority: Path, pair: Pair) -> str:
    """A kubeconfig whose user is the client certificate."""
    user = {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}
    return _kubeconfig(url, authority, user)


def for_token(url: str, authority: Path, token: str) -> str:
    """A kubeconfig whose user is a service account's bearer token."""
    return _kubeconfig(url, authority, {"token": token})


def _kubeconfig(url: str, authority: Path, user: dict[str, str]) -> str:
    cluster = {"server": url, "certificate-authority-data": _encoded(authority)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": user}],
        }
    )


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
