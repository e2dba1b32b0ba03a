"""Fixtures of more than one module, and how tests are run: side by side, the longest first.

Hypothesis tries the same examples every time, on a slow machine too; `pytest --hypothesis-profile=thorough` looks for
new ones.
"""

from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

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


# The long ones. Each of four workers begins with one of the first four, which wait a lot at different times. The tests
# that share a control plane share a worker; the others have their own.
_SOAK = "e2e/test_soak.py"
_BEGIN_WITH = (
    f"{_SOAK}::test_nothing_is_lost_to_bursts_attacks_restarts_and_kills",
    f"{_SOAK}::test_nothing_is_lost_while_everything_around_changes",
    "e2e",
    "cache/test_race.py",
    "e2e/test_recording.py",
    "chart",
    "test_cli.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin."""
    order = {group: place for place, group in enumerate(_BEGIN_WITH)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


class _Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives workers groups of tests. xdist's own groups are lost on pytest 9.2: it sets a field that is not read."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Tests of a file, or of a folder that begins, stay together."""
    return _Groups(config, log)


def _group(nodeid: str) -> str:
    path, _, test = nodeid.removeprefix("tests/").partition("::")
    if path == _SOAK:
        return f"{path}::{test}"
    return max((begin for begin in _BEGIN_WITH if f"{path}/".startswith(f"{begin}/")), key=len, default=path)


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
