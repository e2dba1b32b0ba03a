"""The chart's CronJobs for shared caches: their command runs under the permissions of their own service account."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.chart.rendering import of_kind, one, render
from tests.controlplane.plane import ControlPlane
from tests.download.pods import Claim, shell
from tests.e2e.api import Api, Object, admitted
from tests.e2e.release import installed
from webhook.cli.app import app

# Other tests install ci/caches-values.yaml, whose names they share.
CACHES = [
    {"claim": "pruned", "namespace": "team-a", "directory": "models", "unusedFor": "30d", "fsGroup": 2000},
    {"claim": "pruned.cache", "namespace": "team-b", "schedule": "0 1 * * 0"},
]
NAMESPACE = "team-a"


@pytest.fixture(scope="module")
def jobs(control_plane: ControlPlane, prerequisites: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The stored CronJobs of an installed chart, by claim."""
    control_plane.create_namespace_defaults(NAMESPACE)
    values = tmp_path_factory.mktemp("caches") / "values.yaml"
    values.write_text(json.dumps({"caches": CACHES}))
    with installed(control_plane, "chart-caches", "--values", str(values)) as release:
        found = of_kind("CronJob", release.objects)
        yield {_spec(job)["volumes"][0]["persistentVolumeClaim"]["claimName"]: job for job in found}


def _spec(job: Object) -> Object:
    spec: Object = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def _cached(claim: Claim, days: float) -> Path:
    assert claim.run(shell('printf x > "$1/weights"')).process.returncode == 0
    then = time.time() - days * 86400
    os.utime(claim.cache.record, (then, then))
    return claim.model


@pytest.fixture
def old(tmp_path: Path) -> Path:
    root = tmp_path / "claim"
    root.mkdir()
    return _cached(Claim(root), 100)


def _prune(control_plane: ControlPlane, job: Object, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = _spec(job)
    kubeconfig = control_plane.service_account(job["metadata"]["namespace"], spec["serviceAccountName"])
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    args = [str(directory) if each.startswith("/cache/") else each for each in spec["containers"][0]["args"]]
    return CliRunner().invoke(app, args)


def test_an_unused_model_is_removed(
    control_plane: ControlPlane, jobs: Any, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _prune(control_plane, jobs["pruned"], old.parent, monkeypatch)
    assert result.exit_code == 0, result.stderr
    assert not old.exists()


def test_a_model_that_a_pod_mounts_stays(
    control_plane: ControlPlane, api: Api, jobs: Any, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [{"name": "c", "mountPath": "/m", "subPath": f"models/{old.name}"}]
    spec = {
        "containers": [{"name": "server", "image": "server:1", "volumeMounts": mounts}],
        "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "pruned"}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "mounts-"}, "spec": spec}
    stored = admitted(api.create_pod(NAMESPACE, pod))
    try:
        result = _prune(control_plane, jobs["pruned"], old.parent, monkeypatch)
    finally:
        api.http.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{stored['metadata']['name']}").raise_for_status()
    assert result.exit_code == 0, result.stderr
    assert old.exists()


def test_the_service_account_may_do_nothing_else(control_plane: ControlPlane, api: Api, jobs: Any) -> None:
    job = jobs["pruned"]
    kubeconfig = control_plane.service_account(NAMESPACE, _spec(job)["serviceAccountName"])
    with control_plane.http_as(kubeconfig, "prune") as http:
        assert http.get(f"/api/v1/namespaces/{NAMESPACE}/pods").is_success
        for path in (f"/api/v1/namespaces/{NAMESPACE}/secrets", "/api/v1/pods", "/api/v1/namespaces/team-b/pods"):
            assert http.get(path).status_code == 403, path


@pytest.mark.parametrize("claim", ["pruned", "pruned.cache"])
def test_the_pod_of_the_job_is_restricted(api: Api, jobs: Any, claim: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = api.furnished(f"restricted-{claim.replace('.', '-')}x", labels)
    spec = {**_spec(jobs[claim]), "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "prune-"}, "spec": spec}
    created = api.create_pod(namespace, pod, dryRun="All")
    assert created.status_code == 201, created.text


def test_names_differ_and_fit(tmp_path: Path) -> None:
    claims = [("a" * 63, "team-a", ""), ("a" * 63, "team-a", "x"), ("a" * 63, "team-b", ""), ("a.b", "team-a", "")]
    caches = [
        {"claim": claim, "namespace": namespace, **({"directory": directory} if directory else {})}
        for claim, namespace, directory in claims
    ]
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"caches": caches}))
    names = [job["metadata"]["name"] for job in of_kind("CronJob", render("--values", values))]
    assert len(set(names)) == 4
    assert all(len(name) <= 52 for name in names)


def test_without_rbac_there_is_no_role(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"rbac": {"create": False}, "caches": [{"claim": "a", "namespace": "b"}]}))
    objects = render("--values", values)
    assert of_kind("Role", objects) == []
    assert one("CronJob", objects)
