"""Fixtures of more than one module."""

import pytest
import trustme

from tests.serving import Authority, serving
from webhook import logs


@pytest.fixture(scope="session", autouse=True)
def _console_log():
    logs.configure("console", "info")


@pytest.fixture(scope="session")
def authority():
    return Authority(trustme.CA(key_type=trustme.KeyType.ECDSA))


@pytest.fixture(scope="session")
def stranger():
    """Another authority, which nobody trusts."""
    return Authority(trustme.CA(key_type=trustme.KeyType.ECDSA))


@pytest.fixture(scope="session")
def running(authority, tmp_path_factory):
    """One server with the default settings, for tests that leave it as they found it."""
    with serving(authority, tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="session")
def client(running):
    with running.client() as client:
        yield client
