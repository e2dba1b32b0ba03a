"""Shared fixtures, and the configuration of parallel runs: the longest tests start first.

By default, Hypothesis uses the same examples in every run. `pytest --hypothesis-profile=thorough` generates new ones.
"""

from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.serving import Authority, serving
from webhook.server import logs

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


# The longest tests. Each of four workers starts with one of the first four. Tests that share a control plane run on the
# same worker.
_SOAK = "e2e/test_soak.py"
_FIRST = (
    f"{_SOAK}::test_no_request_is_lost_to_bursts_attacks_restarts_and_kills",
    f"{_SOAK}::test_no_request_is_lost_during_changes",
    "node",
    "e2e",
    "e2e/test_value_sets.py",
    "download/test_race.py",
    "e2e/test_recording.py",
    "chart",
    "cli/test_app.py",
    "browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the longest tests to the start."""
    order = {group: index for index, group in enumerate(_FIRST)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


class _Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Distributes groups of tests to workers. xdist's own `loadgroup` does not work with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Keep the tests of one file, or of one folder in `_FIRST`, on one worker."""
    return _Groups(config, log)


def _group(nodeid: str) -> str:
    path, _, test = nodeid.removeprefix("tests/").partition("::")
    if path == _SOAK:
        return f"{path}::{test}"
    return max((group for group in _FIRST if f"{path}/".startswith(f"{group}/")), key=len, default=path)


@pytest.fixture(scope="session", autouse=True)
def _console_log():
    logs.configure("console", "info")


@pytest.fixture(scope="session")
def authority():
    return Authority(trustme.CA(key_type=trustme.KeyType.ECDSA))


@pytest.fixture(scope="session")
def stranger():
    """Another authority, which is not trusted."""
    return Authority(trustme.CA(key_type=trustme.KeyType.ECDSA))


@pytest.fixture(scope="session")
def running(authority, tmp_path_factory):
    """One server with the default settings, for tests that do not change it."""
    with serving(authority, tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="session")
def client(running):
    with running.client() as client:
        yield client
