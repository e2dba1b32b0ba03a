"""The commands of README and docs/ that need a cluster, run as they are written.

Commands without a cluster are run by tests/documentation.
"""

import contextlib
import re

import pytest

from tests import yamls
from tests.documentation.pages import PAGES, ROOT, blocks, commands
from tests.e2e.pods import unnamed
from tests.mutation import kserve_pod, plain_pod
from webhook.offline.mutator import Mutator
from webhook.settings.model import EMBEDDED

CONFIGURATION = "mutatingwebhookconfiguration 00-storage-webhook.storage-webhook"
# What cannot run here, by how the command begins, and why.
CANNOT_RUN = {
    "make ": "builds, or is a test itself",
    "pip ": "installs",
    "podman ": "pushes to a registry",
    "kind ": "creates a cluster",
    "helm test": "needs nodes that run pods",
    "kubectl logs": "needs nodes that run pods",
    "kubectl -n storage-webhook logs": "needs nodes that run pods",
    "kubectl --namespace storage-webhook rollout status": "needs nodes that run pods",
    "kubectl -n storage-webhook rollout status": "needs nodes that run pods",
    "storage-webhook cache": "is tested in tests/download",
    "storage-webhook doctor": "is tested in tests/e2e/test_doctor.py",
    "KUBEBUILDER_ASSETS=": "runs tests",
}
OFFLINE = re.compile(r"\bstorage-webhook (mutate|check-settings)\b")


def runnable(page) -> list[str]:
    """The commands of a page for a cluster, without those that wait for nodes."""
    found = [command for block in blocks(page, "sh") for command in commands(block)]
    return [
        command.replace(" --wait", "")
        for command in found
        if not command.startswith(tuple(CANNOT_RUN)) and ("kubectl" in command or not OFFLINE.search(command))
    ]


@pytest.fixture
def kserve(api, shell):
    """The ConfigMap of KServe, as it installs it."""
    api.namespace("kserve")
    data = {"storageInitializer": '{"image": "kserve/storage-initializer:v0.21.0"}', "credentials": "{}"}
    metadata = {"name": "inferenceservice-config", "namespace": "kserve"}
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).raise_for_status()


def policy(shell) -> str:
    return str(shell(f"kubectl get {CONFIGURATION} -o jsonpath='{{.webhooks[0].failurePolicy}}'"))


def observing(shell) -> bool:
    return "mode: observe" in shell("kubectl -n kserve get configmap inferenceservice-config -o yaml")


def admits(api) -> bool:
    """Whether a pod that requests a model is created, in a dry run."""
    pod = unnamed(plain_pod("s3://models/iris"))
    return bool(api.create_pod(api.furnished("migrating"), pod, dryRun="All").is_success)


def test_migration_admits_pods_at_every_step(api, kserve, shell):
    """No replica ever runs here: each step of the recipe must hold all the same."""
    steps = runnable(ROOT / "docs" / "migrating-from-kserve.md")
    observe, remove, enforce = (
        next(index for index, command in enumerate(steps) if text in command)
        for text in ("mode: observe", '"op": "remove"', "failurePolicy=Fail")
    )
    for index, command in enumerate(steps):
        shell(command)
        assert observing(shell) == (observe <= index < remove), command
        assert admits(api) == (index != enforce), command
    assert observe < next(index for index, command in enumerate(steps) if "helm install" in command)
    assert steps[-1].startswith("helm uninstall")


def test_pods_are_admitted_at_once_and_the_policy_is_restored(api, shell):
    page = ROOT / "docs" / "operations.md"
    patch, delete, restore, audit = [
        command for command in runnable(page) if re.search(r"failurePolicy|delete mutating|audit -A", command)
    ][:4]
    shell(next(command for command in runnable(ROOT / "README.md") if command.startswith("helm install")))
    assert policy(shell) == "Fail"
    shell(patch)
    assert policy(shell) == "Ignore"
    shell(restore)
    assert policy(shell) == "Fail"
    shell(delete)
    # Releases of other tests may be there.
    names = shell("kubectl get mutatingwebhookconfiguration -o name").split()
    assert "mutatingwebhookconfiguration.admissionregistration.k8s.io/00-storage-webhook.storage-webhook" not in names
    shell(restore)
    assert policy(shell) == "Fail"
    values = yamls.document(shell("helm get values storage-webhook --namespace storage-webhook"))
    assert values["image"]["repository"] == "registry.example.com/storage-initializer-webhook"
    shell(delete)
    with contextlib.suppress(AssertionError):  # it fails if another test left a pod without its model
        shell(audit)


WHOLE = (
    "docs/rollouts.md",
    "docs/installation.md",
    "docs/credentials.md",
    "docs/security.md",
    "charts/storage-initializer-webhook/README.md",
)
"""The pages whose commands run one after the other."""


@pytest.mark.parametrize("name", WHOLE)
def test_the_other_commands_of_a_page_run(name, api, kserve, shell):
    page = ROOT / name
    found = runnable(page)
    assert found
    if not found[0].startswith("helm install"):
        shell(next(command for command in runnable(ROOT / "README.md") if command.startswith("helm install")))
    for command in found:
        if command.startswith("helm install"):
            shell("helm uninstall storage-webhook --namespace storage-webhook --ignore-not-found")
        # No replica runs here, so no pod with a model is created while the webhook is registered.
        offline = command.startswith("kubectl apply")
        shell(f"kubectl delete {CONFIGURATION}" if offline else "true")
        shell(_with_files(page, command))


def _with_files(page, command: str) -> str:
    """The command with the files that the page says how to write, and a Secret's file."""
    files = {block.file: block for block in blocks(page, "yaml") if block.file}
    for file, block in files.items():
        if file in command:
            command = command.replace(f"--filename {file}", f"--filename - <<'END'\n{block.text}END")
    return command.replace("=key.json", "=examples/review.json")


def test_no_command_is_forgotten():
    """A new page with commands for a cluster must be added to a test of this file."""
    tested = {"docs/migrating-from-kserve.md", "docs/operations.md", *WHOLE}
    elsewhere = {
        "README.md": "test_readme.py",
        "docs/downloads.md": "its pod is an example",
        "docs/nodes.md": "test_doctor.py",
        "docs/troubleshooting.md": "the same command as in migrating-from-kserve.md",
        "docs/command-line.md": "the same command as in migrating-from-kserve.md",
    }
    found = [page for page in PAGES if any("kubectl" in each or "helm" in each for each in runnable(page))]
    assert {str(page.relative_to(ROOT)) for page in found} <= tested | elsewhere.keys()


# --- Advice of `mutate`


def test_the_command_that_moves_an_annotation_works(api, shell):
    namespace = api.namespace("misplaced")
    uri = {"storage.kserve.io/uri": "s3://it's/a model"}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "server", "image": "s:1"}]}}
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
        metadata = {"name": "iris", "namespace": namespace, "annotations": uri}
        given = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}
        api.apply(given).raise_for_status()
        mutator = Mutator(EMBEDDED, namespace, None)
        mutator.mutate_pods(given)
        (command,) = mutator.commands
        shell(command.partition("in the cluster: ")[2])
        assert api.get(given)["spec"]["template"]["metadata"]["annotations"] == uri


def test_the_command_that_shows_pods_works(api, shell):
    namespace = api.furnished("previewed")
    pod = kserve_pod("s3://models/iris")
    api.create_pod(namespace, {**pod, "metadata": {**pod["metadata"], "name": "predictor"}}).raise_for_status()
    mutator = Mutator(EMBEDDED, namespace, None)
    metadata = {"name": "iris", "namespace": namespace}
    mutator.mutate_pods({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": metadata})
    (command,) = mutator.commands
    assert "Pod predictor: injected: " in shell(command[command.index("kubectl") :])
