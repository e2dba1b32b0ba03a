"""The tests in this directory run against a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane import plane
from tests.controlplane.binaries import MissingBinaryError
from tests.controlplane.plane import ControlPlane

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here, and only that: the hook is given the tests of the whole run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The control plane that all tests share; each takes namespaces of its own."""
    try:
        with plane.control_plane() as running:
            yield running
    except MissingBinaryError as missing:
        pytest.fail(str(missing), pytrace=False)
