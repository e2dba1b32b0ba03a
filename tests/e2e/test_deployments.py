"""Deployments, with the webhook for them as it is installed: kubectl's ways to change them, and several managers."""

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
    """A namespace that is served, with settings for rollouts."""
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


def says(written, stored):
    """Whether all that is written stands in what is stored."""
    if isinstance(written, dict):
        return isinstance(stored, dict) and all(key in stored and says(written[key], stored[key]) for key in written)
    if isinstance(written, list):
        return len(written) == len(stored) and all(map(says, written, stored))
    return written == stored


def test_a_deployment_that_writes_its_claim_recreates_its_pods(installation, served):
    written = deployment(served, "writer", WRITES)
    stored = admitted(installation.api.apply(written))
    assert stored["spec"]["strategy"] == {"type": "Recreate"}
    assert stored["spec"]["progressDeadlineSeconds"] == DEADLINE
    assert says(written, stored)


def test_the_template_is_the_authors_and_the_pods_get_the_model(installation, served):
    stored = admitted(installation.api.apply(deployment(served, "template", READS)))
    assert "initContainers" not in stored["spec"]["template"]["spec"]
    assert stored["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120


def test_what_the_author_wrote_stays(installation, served):
    insists = {"strategy": DEFAULT_STRATEGY, "progressDeadlineSeconds": 600}
    written = deployment(served, "insists", WRITES, **insists)
    answer = installation.api.apply(written)
    stored = admitted(answer)
    assert says(written, stored)
    assert any("not Recreate" in warning for warning in answer.headers.get_list("warning"))


def test_a_deployment_that_does_not_ask_is_not_our_business(installation, served):
    before = installation.webhook.admissions
    stored = admitted(installation.api.apply(deployment(served, "other", {})))
    assert installation.webhook.admissions == before
    assert stored["spec"]["progressDeadlineSeconds"] == 600


def test_two_managers_each_keep_what_is_theirs_and_applying_again_changes_nothing(installation, served):
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
    taken = admitted(api.apply({**written, "spec": {**written["spec"], "progressDeadlineSeconds": 900}}, **author))
    assert taken["spec"]["progressDeadlineSeconds"] == 900
    assert taken["spec"]["replicas"] == 3


def test_kubectl_finds_nothing_to_change_in_what_it_applied(installation, served):
    plane, written = installation.api.plane, json.dumps(deployment(served, "applied", WRITES))
    assert kubectl(plane, "apply", "--filename=-", stdin=written) == "deployment.apps/applied created\n"
    assert kubectl(plane, "apply", "--filename=-", stdin=written) == "deployment.apps/applied unchanged\n"
    diff = run_kubectl(plane, "diff", "--filename=-", stdin=written)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr


def test_kubectl_create_scale_patch_and_rollout_change_what_they_say(installation, served):
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


def test_settings_that_change_restart_nothing_until_the_author_does(installation, served):
    written = deployment(served, "steady", READS)
    before = admitted(installation.api.apply(written))
    later = {"storageDefaults": {"rollout": {"progressDeadlineSeconds": 60, "terminationGracePeriodSeconds": 5}}}
    with installation.configured(later):
        labelled = {**written, "metadata": {**written["metadata"], "labels": {"team": "a"}}}
        after = admitted(installation.api.apply(labelled))
    assert after["spec"]["progressDeadlineSeconds"] == 60
    assert after["spec"]["template"] == before["spec"]["template"]


def test_without_rollout_settings_what_was_set_is_only_the_claims(installation):
    with installation.configured({"storageDefaults": {}}):
        reads = admitted(installation.api.apply(deployment(installation.namespace(), "plain", READS)))
    assert reads["spec"]["strategy"] == DEFAULT_STRATEGY
    assert APPLIED not in reads["metadata"].get("annotations", {})
