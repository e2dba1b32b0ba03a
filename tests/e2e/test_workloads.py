"""Workloads with an installed webhook: what kubectl shows the author about the pods."""

import json
from typing import Any

import pytest

from tests.e2e.offline import run_kubectl

URI = "storage.kserve.io/uri"
SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
READ_ONLY = "storage.kserve.io/readonly"
APIS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1"}
DENIED = {URI: "pvc://Models/iris"}
DENIAL = (
    'the pods will be denied: annotation storage.kserve.io/uri "pvc://Models/iris": "Models" is not a valid name of a '
    "PersistentVolumeClaim: names consist of lower-case letters, digits, '-' and '.'"
)


@pytest.fixture(scope="module")
def served(installation):
    return installation.namespace()


def workload(namespace, kind, name, pod_annotations, **metadata):
    """A workload as its author writes it."""
    labels = {"app": name}
    container = {"name": "server", "image": "registry.example.com/server:1"}
    template: Any = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    if pod_annotations:
        template["metadata"]["annotations"] = pod_annotations
    if APIS[kind] == "batch/v1":
        del template["metadata"]["labels"]
        template["spec"]["restartPolicy"] = "Never"
    spec: Any = {"template": template} if kind == "Job" else {"selector": {"matchLabels": labels}, "template": template}
    if kind == "CronJob":
        spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
    return {
        "apiVersion": APIS[kind],
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


def applied(installation, manifest):
    """The warnings that `kubectl apply` shows. Fails when the object is not stored."""
    return warnings(installation, "apply", "--filename=-", stdin=json.dumps(manifest))


def warnings(installation, *command, stdin=""):
    run = run_kubectl(installation.api.plane, *command, stdin=stdin)
    assert run.returncode == 0, run.stderr
    lines = run.stderr.splitlines()
    assert all(line.startswith("Warning: ") for line in lines), run.stderr
    return [line.removeprefix("Warning: ") for line in lines]


@pytest.mark.parametrize("kind", APIS)
def test_apply_shows_why_the_pods_will_be_denied(installation, served, kind):
    """For Deployments two webhooks say so, and kubectl shows it once."""
    manifest = workload(served, kind, "denied", DENIED)
    assert applied(installation, manifest) == [DENIAL]
    assert installation.api.get(manifest)["metadata"]["name"] == "denied"


@pytest.mark.parametrize("kind", APIS)
def test_apply_shows_warnings_of_the_pods(installation, served, kind):
    manifest = workload(served, kind, "typo", {URI: "pvc://models/iris", "storage.kserve.io/readnoly": "true"})
    (warning,) = applied(installation, manifest)
    assert "did you mean storage.kserve.io/readonly?" in warning


@pytest.mark.parametrize("kind", APIS)
def test_apply_shows_annotations_in_the_wrong_place(installation, served, kind):
    manifest = workload(served, kind, "misplaced", {}, annotations={URI: "s3://models/iris"})
    (warning,) = applied(installation, manifest)
    template = "spec.jobTemplate.spec.template" if kind == "CronJob" else "spec.template"
    assert warning == f"annotation {URI} has no effect on the {kind}: set it in {template}.metadata.annotations"


def test_apply_shows_the_most_important_first(installation, served):
    misplaced = {READ_ONLY: "false", "storage.kserve.io/cach": "pvc://cache"}
    manifest = workload(served, "StatefulSet", "several", DENIED, annotations=misplaced)
    denial, place, unknown = applied(installation, manifest)
    assert denial == DENIAL
    assert f"{READ_ONLY} has no effect on the StatefulSet" in place
    assert "unknown" in unknown


def test_apply_shows_what_the_cluster_lacks(installation, served):
    annotations = {URI: "s3://models/iris", "serving.kserve.io/storageSecretName": "missing"}
    (warning,) = applied(installation, workload(served, "StatefulSet", "secret", annotations))
    assert warning.startswith(f'the pods will be denied: Secret "missing" in namespace "{served}"')


def test_long_values_are_cut_and_the_way_out_is_kept(installation, served):
    annotations = {URI: f"pvc://{'M' * 200}/{'i' * 200}"}
    (warning,) = applied(installation, workload(served, "Job", "long", annotations))
    assert len(warning) <= 256
    assert warning.endswith("names consist of lower-case letters, digits, '-' and '.'")


def test_only_a_change_of_the_pods_is_told_again(installation, served):
    manifest = workload(served, "StatefulSet", "again", DENIED)
    assert applied(installation, manifest) == [DENIAL]
    assert applied(installation, manifest) == []
    within = f"--namespace={served}"
    assert warnings(installation, "scale", "statefulset/again", "--replicas=3", within) == []
    assert warnings(installation, "label", "statefulset/again", "team=a", within) == []
    assert warnings(installation, "rollout", "restart", "statefulset/again", within) == [DENIAL]
    assert warnings(installation, "delete", "statefulset/again", within) == []


def test_a_dry_run_shows_warnings_too(installation, served):
    manifest = json.dumps(workload(served, "CronJob", "dry", DENIED))
    assert warnings(installation, "create", "--dry-run=server", "--filename=-", stdin=manifest) == [DENIAL]


@pytest.mark.parametrize("kind", APIS)
def test_other_workloads_are_not_sent_to_the_webhook(installation, served, kind):
    owner = {"apiVersion": "example.com/v1", "kind": "Owner", "name": "owner", "uid": "1", "controller": True}
    manifests = [
        workload(served, kind, "plain", {"example.com/uri": "s3://b/m"}, annotations={"example.com/uri": "s3://b/m"}),
        workload(installation.elsewhere(), kind, "elsewhere", DENIED),
        workload(installation.namespace({"storage.kserve.io/inject": "disabled"}), kind, "disabled", DENIED),
    ]
    if kind != "Deployment":  # The Deployment webhook is called.
        manifests.append(workload(served, kind, "owned", DENIED, ownerReferences=[owner]))
    before = installation.webhook.admissions
    assert [applied(installation, manifest) for manifest in manifests] == [[]] * len(manifests)
    assert installation.webhook.admissions == before


def test_a_workload_with_the_label_of_kserve_is_sent(installation, served):
    manifest = workload(served, "StatefulSet", "kserve", {SOURCE_URI: "s3://models/iris"})
    manifest["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": "iris"}
    (warning,) = applied(installation, manifest)
    assert warning.startswith("label serving.kserve.io/inferenceservice has no effect on the StatefulSet")


def test_while_the_webhook_is_down_workloads_are_stored(installation, served):
    installation.webhook.kill()
    try:
        assert applied(installation, workload(served, "StatefulSet", "outage", DENIED)) == []
    finally:
        installation.webhook.start()
