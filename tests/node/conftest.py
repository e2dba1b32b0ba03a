"""The node for the tests of this directory."""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.initializer.environment import initializer_python
from tests.initializer.servers import aws_server, s3_upload
from tests.node import containerd, images, obtain, requirements
from tests.node.cases import MODEL, PULL
from tests.node.cluster import Cluster, running_cluster
from tests.node.concurrency import alone, await_others, can_run_with_others, started
from tests.node.network import NODE_IP
from tests.node.registry import registry
from tests.node.servers import Web, failing_web_server, web_server
from tests.node.table import DOCUMENT, Row, written
from tests.serving import Authority

HERE = Path(__file__).parent
WRITE_TABLE = "NODE_TABLE"
"""Environment variable: the run writes the table in docs/testing.md."""

rows: list[Row] = []


GIVEN = frozenset({"cluster", "web", "s3", "models_registry", "failing_server"})
"""The fixtures of tests that run at the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory, and put those last among them that run alone.

    The hook receives the tests of the whole run.
    """
    places = [place for place, item in enumerate(items) if _is_here(item)]
    last = sorted((items[place] for place in places), key=lambda item: item.get_closest_marker(alone.name) is not None)
    for place, item in zip(places, last, strict=True):
        items[place] = item
        item.add_marker("e2e")
        if can_run_with_others(item, GIVEN) or item.get_closest_marker(alone.name):
            item.fixturenames.insert(0, "results")  # type: ignore[attr-defined]


def _is_here(item: pytest.Item) -> bool:
    return HERE in item.path.parents


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Wait for the function of the test, which runs at the same time as others; or for all others."""
    results: Mapping[str, Future[None]] = pyfuncitem.funcargs.get("results", {})  # type: ignore[assignment]
    if pyfuncitem.nodeid in results:
        results[pyfuncitem.nodeid].result()
        return True
    if pyfuncitem.get_closest_marker(alone.name):
        await_others(results)
    return None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the results of the cases."""
    for name, value in report.user_properties:
        if _is_result(name, report):
            source, compared = map(str, value)  # type: ignore[call-overload]
            rows.append(Row(source, compared, report.outcome))


def _is_result(name: str, report: pytest.TestReport) -> bool:
    return name == "case" and (report.when == "call" or report.failed)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put the words of a case into its report."""
    for mark in item.iter_markers("case"):
        item.user_properties.append(("case", (mark.kwargs["source"], mark.kwargs["compared"])))


def pytest_sessionfinish() -> None:
    """Write the table if it was asked for."""
    if rows and os.environ.get(WRITE_TABLE):
        DOCUMENT.write_text(written(DOCUMENT.read_text(), rows))


@pytest.fixture(scope="package")
def cluster(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with a node that all tests share. Each test uses its own namespaces."""
    if needed := requirements.missing():
        pytest.skip(f"the node needs {needed}")
    if advice := obtain.advice():
        pytest.fail(advice, pytrace=False)
    initializer_python()  # from the package index, which the node's network does not reach
    with running_cluster(authority, tmp_path_factory.mktemp("webhook")) as running:
        yield running


@pytest.fixture(scope="package")
def results(
    request: pytest.FixtureRequest, cluster: Cluster, web: Web, s3: str, models_registry: str, failing_server: str
) -> Iterator[Mapping[str, Future[None]]]:
    """The results of the tests that run at the same time, by test."""
    values = (cluster, web, s3, models_registry, failing_server)
    given = dict(zip(("cluster", "web", "s3", "models_registry", "failing_server"), values, strict=True))
    items = [item for item in request.session.items if _is_here(item) and can_run_with_others(item, GIVEN)]
    with started(items, given) as running:
        yield running


@pytest.fixture(scope="package")
def failing_server(cluster: Cluster) -> Iterator[str]:
    """The URL of a web server whose downloads stop in the middle, or fail."""
    with failing_web_server() as url:
        yield url


@pytest.fixture(scope="package")
def web(cluster: Cluster) -> Iterator[Web]:
    """A web server that pods can reach."""
    with web_server() as running:
        yield running


@pytest.fixture(scope="package")
def s3(cluster: Cluster) -> Iterator[str]:
    """The endpoint of an S3 server with MODEL in `s3://models/bert`."""
    with aws_server("s3", NODE_IP) as endpoint:
        s3_upload(endpoint, "models", {f"bert/{path}": content for path, content in MODEL.items()})
        yield endpoint


@pytest.fixture(scope="package")
def models_registry(web: Web, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a registry with the modelcar's image as `models/iris:1`, for the user of PULL."""
    web.files["/token"] = json.dumps({"token": "t", "access_token": "t"}).encode()
    web.authorization["/token"] = f"Basic {base64.b64encode(PULL.encode()).decode()}"
    with registry(tmp_path_factory.mktemp("registry"), f"{web.url}/token") as address:
        directory, name = cluster.node.directory, f"{address}/models/iris:1"
        containerd.ctr(directory, "images", "convert", "--oci", images.MODELCAR, name)
        containerd.ctr(directory, "images", "push", "--plain-http", "--user", PULL, name)
        yield address
