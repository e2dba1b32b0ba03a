"""`storage-webhook cache warm` against a real API server. tests/node runs the Jobs."""

from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.download.test_warming import CLAIM, key_of
from tests.e2e.api import admitted
from tests.mutation import decide, plain_pod
from webhook import annotations as keys
from webhook.cli.app import app
from webhook.pod.pod import INIT_CONTAINER_NAME


@pytest.fixture
def command(control_plane, monkeypatch):
    """Runs the command with the administrator's kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["cache", "warm", *arguments], input=stdin)

    return run


def _jobs(api, namespace) -> list[Any]:
    items: list[Any] = api.http.get(f"/apis/batch/v1/namespaces/{namespace}/jobs").raise_for_status().json()["items"]
    return items


def test_a_job_is_created_once_also_in_a_restricted_namespace(installation, command):
    namespace = installation.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    for words in ("created", "exists already"):
        result = command("s3://models/iris", "--claim", CLAIM, "-n", namespace, "--apply")
        assert (result.exit_code, result.stderr) == (0, "")
        assert words in result.stdout
    (job,) = _jobs(installation.api, namespace)
    template = job["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "generateName": "warm-"}}
    stored = admitted(installation.api.create_pod(namespace, pod, dryRun="All"))
    assert [each["name"] for each in stored["spec"]["initContainers"]] == [INIT_CONTAINER_NAME]


def test_the_job_of_a_manifest_warms_what_the_stored_pods_mount(installation, command):
    namespace = installation.namespace()
    pod = plain_pod("s3://models/iris", annotations={keys.CACHE: CLAIM})
    pod["metadata"] = {"annotations": {str(key): value for key, value in pod["metadata"]["annotations"].items()}}
    metadata = {"name": "iris", "namespace": namespace}
    template = {**pod, "metadata": {**pod["metadata"], "labels": {"app": "iris"}}}
    spec = {"selector": {"matchLabels": {"app": "iris"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    assert command("-f", "-", "--apply", stdin=yaml.safe_dump(deployment)).exit_code == 0
    (job,) = _jobs(installation.api, namespace)
    key = key_of(decide(job["spec"]["template"]))
    assert key
    assert key == key_of(decide(template))


def test_a_forbidden_request_is_said(control_plane, installation, command, monkeypatch):
    namespace = installation.namespace()
    monkeypatch.setenv("KUBECONFIG", str(control_plane.service_account(namespace, "default")))
    result = command("s3://models/iris", "--claim", CLAIM, "-n", namespace, "--apply")
    assert result.exit_code == 2
    assert "403" in result.stderr
    assert "Traceback" not in result.stderr
