"""The shared cache against a real API server: the stored init container, and `cache prune`."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as k8s
from kubernetes.utils import create_from_dict
from typer.testing import CliRunner, Result

from tests.controlplane.plane import ControlPlane
from tests.download.pods import Claim, shell
from webhook.cli.cache import app
from webhook.download.command import STOCK_COMMAND, CachedModel, Delivery, wrap_cached

HOW_TO = Path(__file__).parents[2] / "docs" / "shared-cache.md"
SERVICE_ACCOUNT = "model-cache-prune"


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    """A claim with one model that was not used for a hundred days."""
    root = tmp_path / "claim"
    root.mkdir()
    claim = Claim(root)
    assert claim.run(shell('printf x > "$1/weights"')).process.returncode == 0
    then = time.time() - 100 * 86400
    os.utime(claim.cache.record, (then, then))
    yield claim
    claim.end()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A namespace with the objects of the how-to."""
    name = control_plane.namespace(f"cache-{uuid.uuid4().hex[:8]}")
    with control_plane.client() as client:
        for manifest in manifests():
            create_from_dict(client, manifest, namespace=name)
    return name


def manifests() -> list[dict[str, Any]]:
    """The manifests of the how-to."""
    blocks = HOW_TO.read_text().split("```yaml\n")[1:]
    found = (manifest for block in blocks for manifest in yaml.safe_load_all(block.partition("```")[0]))
    return [manifest for manifest in found if "kind" in manifest]


def a_pod(name: str, claim: Claim, phase: str = "Running") -> dict[str, Any]:
    """An injected pod."""
    model = CachedModel(claim.uri, "/mnt/cache", claim.directory, claim.model.name)
    command, args = wrap_cached(STOCK_COMMAND, [claim.uri, "/mnt/models"], "/mnt/models", model, Delivery())
    mount = {"name": "cache", "mountPath": "/mnt/models", "subPath": model.sub_path, "readOnly": True}
    return {
        "metadata": {"name": name, "labels": {"phase": phase}},
        "spec": {
            "initContainers": [
                {
                    "name": "storage-initializer",
                    "image": "kserve/storage-initializer",
                    "command": command,
                    "args": args,
                    "volumeMounts": [{"name": "cache", "mountPath": "/mnt/cache"}],
                }
            ],
            "containers": [{"name": "server", "image": "server", "volumeMounts": [mount]}],
            "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "model-cache"}}],
        },
    }


def create(client: k8s.ApiClient, namespace: str, pod: dict[str, Any]) -> Any:
    core = k8s.CoreV1Api(client)
    created = core.create_namespaced_pod(namespace, pod)
    phase = {"status": {"phase": pod["metadata"]["labels"]["phase"]}}
    core.patch_namespaced_pod_status(pod["metadata"]["name"], namespace, phase)
    return created


def prune(claim: Claim, namespace: str, kubeconfig: Path) -> Result:
    arguments = ["prune", str(claim.cache.directory), "--unused-for", "30d", "--namespace", namespace]
    return CliRunner().invoke(app, arguments, env={"KUBECONFIG": str(kubeconfig)})


def test_program_is_stored_unchanged(control_plane: ControlPlane, namespace: str, claim: Claim) -> None:
    pod = a_pod("llama", claim)
    with control_plane.client() as client:
        stored = create(client, namespace, pod)
    container = pod["spec"]["initContainers"][0]
    assert stored.spec.init_containers[0].command == container["command"]
    assert stored.spec.init_containers[0].args == container["args"]


def test_prune_in_a_namespace_that_does_not_exist_removes_nothing(control_plane: ControlPlane, claim: Claim) -> None:
    result = prune(claim, "no-such-namespace", control_plane.kubeconfig)
    assert result.exit_code == 2
    assert "there is no namespace no-such-namespace" in result.stderr
    assert claim.model.exists()


def test_prune_keeps_models_that_pods_mount(control_plane: ControlPlane, namespace: str, claim: Claim) -> None:
    pruner = control_plane.service_account(namespace, SERVICE_ACCOUNT)
    with control_plane.client() as client:
        create(client, namespace, a_pod("done", claim, "Succeeded"))
        create(client, namespace, a_pod("llama", claim))
        assert prune(claim, namespace, pruner).exit_code == 0
        assert claim.model.exists()
        k8s.CoreV1Api(client).delete_namespaced_pod("llama", namespace, grace_period_seconds=0)
    result = prune(claim, namespace, pruner)
    assert result.exit_code == 0, result.output
    assert not claim.model.exists()


def test_prune_without_permission_to_list_pods_removes_nothing(
    control_plane: ControlPlane, namespace: str, claim: Claim
) -> None:
    result = prune(claim, namespace, control_plane.service_account(namespace, "default"))
    assert result.exit_code == 2
    assert f"cannot list the pods in namespace {namespace}: 403" in result.stderr
    assert claim.model.exists()
