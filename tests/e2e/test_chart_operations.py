"""What an operator types: the commands of NOTES, an upgrade that Kubernetes cannot do, and values that are null."""

import shlex
import subprocess

import pytest

from tests.chart.rendering import CHART, FULLNAME, RELEASE, helm, of_kind, one, render, values
from tests.chart.test_values import DEPENDENT, NULLABLE
from tests.controlplane import binaries
from tests.e2e.api import eventually
from tests.e2e.inventory import inventory
from tests.e2e.release import Release, installed, run_helm


@pytest.fixture
def kubectl(control_plane):
    """Runs kubectl. Returns what it prints."""

    def run(*arguments: str) -> str:
        command = [binaries.kubectl(), "--kubeconfig", control_plane.kubeconfig, *arguments]
        done = subprocess.run(command, env=binaries.environ(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _commands(notes: str) -> list[list[str]]:
    lines = (line.strip() for line in notes.splitlines())
    return [shlex.split(line) for line in lines if line.startswith(("kubectl ", "helm "))]


def test_commands_of_the_notes_name_what_exists(control_plane, api, kubectl):
    with installed(
        control_plane, "chart-notes", *values(namespaceOverride=api.furnished("chart-notes-own"))
    ) as release:
        ready, test, logs, cleanup = _commands(run_helm(control_plane, release.namespace, "get notes"))
        assert "Waiting for deployment" in kubectl(*ready[1:], "--watch=false")
        assert test == ["helm", "-n", release.namespace, "test", RELEASE]
        kubectl(*logs[1:])
        pod = _a_pod_of_the_deployment(api, release)
        read = [word for word in logs[1:] if word not in ("--prefix", "--tail=50")]
        read[read.index("logs")] = "get"
        assert kubectl(*read, "pods", "-o", "name") == f"pod/{pod}\n"
        kubectl(*cleanup[1:])
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ClusterRoleBinding"):
            assert api.http.get(api.path(one(kind, release.objects))).status_code == 404


def _a_pod_of_the_deployment(api, release: Release) -> str:
    deployment = one("Deployment", release.objects)
    template, namespace = deployment["spec"]["template"], deployment["metadata"]["namespace"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "replica", **template["metadata"]}}
    response = api.create_pod(namespace, pod)
    assert response.is_success, response.text
    return str(response.json()["metadata"]["name"])


def test_another_name_for_the_selector_is_rejected_with_a_way_out(control_plane):
    with installed(control_plane, "chart-renamed") as release:
        where = ("--namespace", release.namespace, "--kubeconfig", str(control_plane.kubeconfig))
        renamed = helm("upgrade", RELEASE, CHART, *where, *values(nameOverride="models"))
        assert renamed.returncode
        assert f"Deployment {FULLNAME} selects its pods by the label app.kubernetes.io/name" in renamed.stderr
        assert "set nameOverride to storage-initializer-webhook again" in renamed.stderr
        run_helm(control_plane, release.namespace, "upgrade", *values(nameOverride="models", fullnameOverride="models"))


def test_an_upgrade_keeps_what_the_webhook_wrote_and_the_end_leaves_nothing(control_plane, api):
    namespace = api.namespace("chart-filled")
    before = inventory(api.http)
    with installed(control_plane, namespace) as release:
        secret, lease = one("Secret", release.objects), one("Lease", release.objects)
        api.patch(secret, [{"op": "add", "path": "/data", "value": {"state.json": "e30="}}])
        api.patch(lease, [{"op": "add", "path": "/spec", "value": {"holderIdentity": "replica"}}])
        run_helm(control_plane, namespace, "upgrade", *values(webhook__timeoutSeconds=7))
        assert api.get(secret)["data"] == {"state.json": "e30="}
        assert api.get(lease)["spec"] == {"holderIdentity": "replica"}
    assert api.http.get(api.path(lease)).status_code == 404
    eventually(lambda: inventory(api.http) == before)


def test_objects_that_the_webhook_created_itself_stay_its_own(control_plane, api):
    namespace = api.namespace("chart-unowned")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{FULLNAME}-certificates", "namespace": namespace},
    }
    api.apply(secret).raise_for_status()
    with installed(control_plane, namespace) as release:
        assert of_kind("Secret", release.objects) == []
        assert one("Lease", release.objects)
    assert api.get(secret)


def test_the_api_server_accepts_what_null_values_render(api, prerequisites):
    outermost = [name for name in NULLABLE if name.rpartition(".")[0] not in NULLABLE and name != DEPENDENT]
    for manifest in render(*values(**dict.fromkeys(outermost))):
        dry_run = {} if manifest["kind"] == "ServiceAccount" else {"dryRun": "All"}
        response = api.apply(manifest, **dry_run)
        assert response.is_success, f"{manifest['kind']}: {response.text}"
