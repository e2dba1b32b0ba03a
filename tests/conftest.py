"""Fixtures of more than one module, and how hypothesis runs: the same examples every time, on a slow machine too.

`pytest --hypothesis-profile=thorough` looks for new examples.
"""

import pytest
import trustme
from hypothesis import HealthCheck, settings

from tests.serving import Authority, serving
from webhook import logs

settings.register_profile(
    "quick", max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough",
    max_examples=3000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("quick")


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
