"""Fixtures for tests against a real API server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import yamls
from tests.chart.rendering import CHART, NAMESPACE, Object
from tests.controlplane import binaries, plane
from tests.controlplane.plane import ControlPlane
from tests.e2e import installed
from tests.e2e.api import Api, eventually
from tests.e2e.installed import Installation
from tests.serving import Authority

HERE = Path(__file__).parent
CRDS = HERE.parent / "chart" / "crds.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory. The hook receives the tests of the whole run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Fail with one line and no traceback if the programs are missing."""
    if missing := binaries.missing():
        pytest.fail(binaries.advice(missing), pytrace=False)


@pytest.fixture(scope="session")
def control_plane(programs: None) -> Iterator[ControlPlane]:
    """The control plane shared by all tests. Each test uses its own namespaces."""
    with plane.control_plane() as running:
        yield running


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    with control_plane.http() as http:
        yield Api(control_plane, http)


@pytest.fixture(scope="session")
def prerequisites(api: Api) -> None:
    """Namespaces and custom resources that the chart's value sets need."""
    for namespace in (NAMESPACE, "kserve", "team-a", "team-b", "models"):
        api.namespace(namespace)
    crds = yamls.documents(CRDS.read_text())
    for crd in crds:
        api.apply(crd).raise_for_status()
    for crd in crds:
        eventually(partial(_is_served, api, crd["spec"]))


def _is_served(api: Api, crd: Object) -> bool:
    (version,) = crd["versions"]
    return api.http.get(f"/apis/{crd['group']}/{version['name']}/{crd['names']['plural']}").is_success


@pytest.fixture
def shell(control_plane: ControlPlane) -> Iterator[Callable[[str], str]]:
    """Runs commands of the documentation in the root of the repository, and uninstalls their release at the end."""
    programs = [str(program.parent) for program in (binaries.helm(), binaries.kubectl(), Path(sys.executable))]
    path = os.pathsep.join([*programs, os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(control_plane.kubeconfig)}

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=CHART.parents[1],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    yield run
    run("helm uninstall storage-webhook --namespace storage-webhook --ignore-not-found")


@pytest.fixture(scope="session")
def installation(api: Api, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation shared by all tests that restore its state.

    OCI models and Deployments are enabled. Settings are not validated on update, so that tests can apply invalid ones.
    """
    directory = tmp_path_factory.mktemp("webhook")
    values = {
        "storageInitializer__enableOciModelSupport": True,
        "deployments__enabled": True,
        "validateSettings": False,
    }
    with installed.installation(api, "storage-webhook-e2e", authority, directory, **values) as made:
        yield made
