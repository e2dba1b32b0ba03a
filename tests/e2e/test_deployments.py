"""Deployments with an installed webhook: changes by kubectl and by several field managers."""

import json

import pytest

from tests.e2e.api import admitted
from tests.e2e.offline import kubectl, run_kubectl

URI = "storage.kserve.io/uri"
READ_ONLY = "storage.kserve.io/readonly"
APPLIED = "storage.kserve.io/rollout-applied"
DEADLINE = 1800
ROLLOUT = {"storageDefaults": {"rollout": {"progressDeadlineSeconds": DEADLINE, "terminationGracePeriodSeconds": 120}}}
DEFAULT_STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


@pytest.fixture(scope="module")
def served(installation):
    """A served namespace, with settings for rollouts."""
    with installation.configured(ROLLOUT):
        yield installation.namespace()


def deployment(namespace, name, annotations, **spec):
    """A Deployment as its author writes it."""
    labels = {"app": name}
    container = {"name": "server", "image": "registry.example.com/server:1", "args": ["--model-dir", "/mnt/models"]}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


READS = {URI: "s3://models/iris"}
WRITES = {URI: "pvc://models/iris", READ_ONLY: "false"}


def contains(written, stored):
    """Whether the stored object contains all that the manifest sets."""
    if isinstance(written, dict):
        return isinstance(stored, dict) and all(
            key in stored and contains(written[key], stored[key]) for key in written
        )
    if isinstance(written, list):
        return len(written) == len(stored) and all(map(contains, written, stored))
    return written == stored


def test_deployment_that_writes_to_a_claim_is_recreated(installation, served):
    written = deployment(served, "writer", WRITES)
    stored = admitted(installation.api.apply(written))
    assert stored["spec"]["strategy"] == {"type": "Recreate"}
    assert stored["spec"]["progressDeadlineSeconds"] == DEADLINE
    assert contains(written, stored)


def test_pod_template_gets_no_init_container(installation, served):
    stored = admitted(installation.api.apply(deployment(served, "template", READS)))
    assert "initContainers" not in stored["spec"]["template"]["spec"]
    assert stored["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120


def test_fields_of_the_author_are_kept(installation, served):
    explicit = {"strategy": DEFAULT_STRATEGY, "progressDeadlineSeconds": 600}
    written = deployment(served, "explicit", WRITES, **explicit)
    response = installation.api.apply(written)
    stored = admitted(response)
    assert contains(written, stored)
    assert any("not Recreate" in warning for warning in response.headers.get_list("warning"))


def test_deployment_without_a_model_is_not_sent_to_the_webhook(installation, served):
    before = installation.webhook.admissions
    stored = admitted(installation.api.apply(deployment(served, "other", {})))
    assert installation.webhook.admissions == before
    assert stored["spec"]["progressDeadlineSeconds"] == 600


def test_two_field_managers_keep_their_fields(installation, served):
    api, author = installation.api, {"fieldManager": "author"}
    written = deployment(served, "shared", READS)
    admitted(api.apply(written, **author))
    scaled = {**written, "spec": {"replicas": 3}}
    both = admitted(api.apply(scaled, fieldManager="autoscaler"))
    assert both["spec"]["replicas"] == 3
    assert both["spec"]["progressDeadlineSeconds"] == DEADLINE
    for manifest, manager in ((written, "author"), (scaled, "autoscaler"), (written, "author")):
        again = admitted(api.apply(manifest, fieldManager=manager))
        assert again["metadata"]["resourceVersion"] == both["metadata"]["resourceVersion"]
    changed = admitted(api.apply({**written, "spec": {**written["spec"], "progressDeadlineSeconds": 900}}, **author))
    assert changed["spec"]["progressDeadlineSeconds"] == 900
    assert changed["spec"]["replicas"] == 3


def test_kubectl_shows_no_diff_after_apply(installation, served):
    plane, written = installation.api.plane, json.dumps(deployment(served, "applied", WRITES))
    assert kubectl(plane, "apply", "--filename=-", stdin=written) == "deployment.apps/applied created\n"
    assert kubectl(plane, "apply", "--filename=-", stdin=written) == "deployment.apps/applied unchanged\n"
    diff = run_kubectl(plane, "diff", "--filename=-", stdin=written)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr


def test_kubectl_create_scale_patch_and_rollout_change_only_their_fields(installation, served):
    api, written = installation.api, deployment(served, "handled", WRITES)
    within = f"--namespace={served}"
    kubectl(api.plane, "create", "--filename=-", stdin=json.dumps(written))
    created = api.get(written)
    assert created["spec"]["strategy"] == {"type": "Recreate"}

    kubectl(api.plane, "scale", "deployment/handled", "--replicas=2", within)
    scaled = api.get(written)
    assert scaled["spec"] == created["spec"] | {"replicas": 2}

    kubectl(api.plane, "patch", "deployment/handled", within, '--patch={"spec": {"minReadySeconds": 5}}')
    patched = api.get(written)
    assert patched["spec"] == scaled["spec"] | {"minReadySeconds": 5}

    kubectl(api.plane, "rollout", "restart", "deployment/handled", within)
    restarted = api.get(written)["spec"]
    restarted["template"]["metadata"]["annotations"].pop("kubectl.kubernetes.io/restartedAt")
    assert restarted == patched["spec"]


def test_changed_settings_do_not_restart_pods(installation, served):
    written = deployment(served, "steady", READS)
    before = admitted(installation.api.apply(written))
    later = {"storageDefaults": {"rollout": {"progressDeadlineSeconds": 60, "terminationGracePeriodSeconds": 5}}}
    with installation.configured(later):
        labelled = {**written, "metadata": {**written["metadata"], "labels": {"team": "a"}}}
        after = admitted(installation.api.apply(labelled))
    assert after["spec"]["progressDeadlineSeconds"] == 60
    assert after["spec"]["template"] == before["spec"]["template"]


def test_without_rollout_settings_only_writers_are_changed(installation):
    with installation.configured({"storageDefaults": {}}):
        reads = admitted(installation.api.apply(deployment(installation.namespace(), "plain", READS)))
    assert reads["spec"]["strategy"] == DEFAULT_STRATEGY
    assert APPLIED not in reads["metadata"].get("annotations", {})
