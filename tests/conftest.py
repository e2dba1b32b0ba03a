"""Fixtures of more than one module, and how tests are run: side by side, the longest first.

Hypothesis tries the same examples every time, on a slow machine too; `pytest --hypothesis-profile=thorough` looks for
new ones.
"""

from pathlib import Path

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


HERE = Path(__file__).parent
# Each begins on a worker of its own; soaks have control planes of their own. The tests that share one share a worker.
_BEGIN_WITH = ("e2e/test_soak.py", "e2e", "cache/test_race.py", "chart", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file stay together, and the long ones begin."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    order = {group: place for place, group in enumerate(_BEGIN_WITH)}
    items.sort(key=lambda item: order.get(_group(item).rpartition("tests/")[2].partition("::")[0], len(order)))


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(HERE).as_posix()
    if file == "e2e/test_soak.py":
        return item.nodeid
    return next((begin for begin in _BEGIN_WITH if file == begin or file.startswith(f"{begin}/")), file)


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
