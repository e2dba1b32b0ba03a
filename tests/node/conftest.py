"""The node for the tests of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import obtain, requirements
from tests.node.cluster import Cluster, running_cluster
from tests.serving import Authority

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory. The hook receives the tests of the whole run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="package")
def cluster(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with a node that all tests share. Each test uses its own namespaces."""
    if needed := requirements.missing():
        pytest.skip(f"the node needs {needed}")
    if advice := obtain.advice():
        pytest.fail(advice, pytrace=False)
    with running_cluster(authority, tmp_path_factory.mktemp("webhook")) as running:
        yield running
