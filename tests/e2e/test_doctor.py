"""`storage-webhook doctor` for the installed webhook, the real API server, and nodes and classes created there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.chart.rendering import Object, one
from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import reserved_port
from tests.e2e.api import Api, eventually
from tests.e2e.installed import Installation
from tests.serving import Authority
from webhook.cli.app import app

Rows = dict[tuple[str, str], tuple[str, str]]
"""Result and detail by area and subject."""


def doctor(kubeconfig: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], env={"KUBECONFIG": str(kubeconfig)})


def rows(api: Api, kubeconfig: Path | None = None) -> tuple[int, Rows]:
    """The exit code and the rows of the JSON output."""
    result = doctor(kubeconfig or api.plane.kubeconfig, "-o", "json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    checks = json.loads(result.stdout)
    return result.exit_code, {(each["area"], each["subject"]): (each["result"], each["detail"]) for each in checks}


def a_node(name: str, runtime: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"nodeInfo": _info(runtime)}}


def _info(runtime: str) -> Object:
    texts = dict.fromkeys(
        ("architecture", "bootID", "kernelVersion", "kubeProxyVersion", "machineID", "osImage", "systemUUID"), ""
    )
    return {**texts, "operatingSystem": "linux", "kubeletVersion": "v1.35.4", "containerRuntimeVersion": runtime}


@contextmanager
def created(api: Api, *objects: Object) -> Iterator[None]:
    """Create objects, with their status, and delete them at the end."""
    made: list[Object] = []
    try:
        for each in objects:
            path = api.path(each)
            api.http.post(path.rpartition("/")[0], json=each).raise_for_status()
            made.append(each)
            if "status" in each:
                api.http.patch(f"{path}/status", headers=MERGE, json={"status": each["status"]}).raise_for_status()
        yield
    finally:
        for each in made:
            api.delete(each)


MERGE = {"Content-Type": "application/merge-patch+json"}
NODES = [a_node("doctor-a", "containerd://2.2.0"), a_node("doctor-b", "containerd://1.7.27")]
STORAGE = [
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "doctor-shared"},
        "provisioner": "nfs.example.com",
    },
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "nfs.example.com"},
        "spec": {"fsGroupPolicy": "None"},
    },
]


@pytest.fixture
def ready(installation: Installation) -> Iterator[Object]:
    """The Deployment of the webhook, with all replicas ready, as its controller would report."""
    deployment = one("Deployment", installation.release.objects)
    replicas = deployment["spec"].get("replicas", 1)
    path = f"{installation.api.path(deployment)}/status"
    status: dict[str, Any] = {"status": {"replicas": replicas, "readyReplicas": replicas}}
    installation.api.http.patch(path, headers=MERGE, json=status).raise_for_status()
    yield deployment
    status = {"status": {"readyReplicas": None}}
    installation.api.http.patch(path, headers=MERGE, json=status).raise_for_status()


def test_all_that_works_is_listed(api: Api, installation: Installation, ready: Object) -> None:
    with created(api, *NODES, *STORAGE):
        code, found = rows(api)
    assert [(key, row) for key, row in found.items() if row[0] == "broken"] == []
    assert code == 0
    assert found["API server", "version"] == ("works", api.plane.version())
    namespace, name = ready["metadata"]["namespace"], ready["metadata"]["name"]
    assert found["Webhook", f"Deployment {namespace}/{name}"][0] == "works"
    names = "pods.storage.kserve.io, deployments.storage.kserve.io, workloads.storage.kserve.io"
    assert found["Webhook", f"certificate for {names}"][0] == "works"
    assert found["Webhook", f"caBundle of {names}"][0] == "works"
    config_map = installation.configmap["metadata"]
    settings = found["Settings", f"ConfigMap {config_map['namespace']}/{config_map['name']}"]
    assert settings == ("works", "valid, mode enforce")
    assert found["Permissions", "get secrets"] == ("works", "allowed")
    assert found["Models in images", "oci+native://"][0] == "warning"
    assert "not on 1 of 2 nodes: containerd 1.7.27" in found["Models in images", "oci+native://"][1]
    assert found["Storage", "class doctor-shared, nfs.example.com"][0] == "warning"


def test_the_table_has_the_same_rows(api: Api, installation: Installation, ready: Object) -> None:
    with created(api, *NODES):
        result = doctor(api.plane.kubeconfig)
        _, found = rows(api)
    assert result.exit_code == 0
    for _, subject in found:
        assert subject in result.stdout
    assert "works: " in result.stdout.splitlines()[-1]


def test_without_ready_replicas_it_is_broken(api: Api, installation: Installation) -> None:
    code, found = rows(api)
    assert code == 1
    deployment = one("Deployment", installation.release.objects)["metadata"]
    result, detail = found["Webhook", f"Deployment {deployment['namespace']}/{deployment['name']}"]
    assert result == "broken"
    assert f"kubectl -n {deployment['namespace']} describe deployment {deployment['name']}" in detail


def test_a_ca_that_does_not_match_is_broken(api: Api, installation: Installation, stranger: Authority) -> None:
    configuration = api.get(installation.release.configuration)
    path = "/webhooks/0/clientConfig/caBundle"
    before = configuration["webhooks"][0]["clientConfig"]["caBundle"]
    foreign = base64.b64encode(stranger.pem).decode()
    api.patch(configuration, [{"op": "replace", "path": path, "value": foreign}])
    try:
        code, found = rows(api)
    finally:
        api.patch(configuration, [{"op": "replace", "path": path, "value": before}])
    assert code == 1
    result, detail = found["Webhook", "certificate for pods.storage.kserve.io"]
    assert result == "broken"
    assert "not trusted by the API server" in detail
    assert found["Webhook", "certificate for deployments.storage.kserve.io, workloads.storage.kserve.io"][0] == "works"


def test_invalid_settings_are_broken(api: Api, installation: Installation) -> None:
    before = installation.configmap["data"]
    installation.configure({**before, "storageDefaults": {"readOnyl": True}})
    try:
        code, found = rows(api)
    finally:
        installation.configure(before)
        installation.await_settings()
    assert code == 1
    config_map = installation.configmap["metadata"]
    result, detail = found["Settings", f"ConfigMap {config_map['namespace']}/{config_map['name']}"]
    assert result == "broken"
    assert "readOnly" in detail


def test_a_missing_permission_of_the_webhook_is_broken(api: Api, installation: Installation, ready: Object) -> None:
    role = api.get(one("ClusterRole", installation.release.objects))
    rules = [{**rule, "resources": [each for each in rule["resources"] if each != "secrets"]} for rule in role["rules"]]
    api.patch(role, [{"op": "replace", "path": "/rules", "value": rules}])
    try:
        found = _until(api, ("Permissions", "get secrets"), "broken")
    finally:
        api.patch(role, [{"op": "replace", "path": "/rules", "value": role["rules"]}])
    assert "pods that need credentials are denied" in found["Permissions", "get secrets"][1]
    assert found["Permissions", "get serviceaccounts"][0] == "works"
    _until(api, ("Permissions", "get secrets"), "works")


def _until(api: Api, key: tuple[str, str], result: str) -> Rows:
    """The rows when one has this result: the API server sees a changed role with a delay."""
    found: Rows = {}

    def has_result() -> bool:
        found.update(rows(api)[1])
        return found[key][0] == result

    eventually(has_result)
    return found


def test_what_this_user_may_not_read_is_unknown(api: Api, installation: Installation) -> None:
    code, found = rows(api, api.plane.user("doctor-nobody"))
    assert code == 0
    for key in (("Nodes", "nodes"), ("Storage", "classes"), ("Webhook", "registration")):
        assert found[key][0] == "unknown"
    assert 'User "doctor-nobody" cannot list resource "nodes"' in found["Nodes", "nodes"][1]
    assert found["API server", "version"][0] == "works"


def test_nothing_is_changed(api: Api, installation: Installation, control_plane: ControlPlane) -> None:
    """A user who may only read, and impersonate, sees everything."""
    name = "doctor-reader"
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]},
    ]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    role = {**rbac, "kind": "ClusterRole", "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    binding = {**rbac, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
    with created(api, role, binding):
        kubeconfig = control_plane.user(name)
        eventually(lambda: "unknown" not in {row[0] for row in rows(api, kubeconfig)[1].values()})
        _, found = rows(api, kubeconfig)
    assert found["Permissions", "get secrets"][0] == "works"


def test_an_api_server_that_cannot_be_reached(tmp_path: Path, control_plane: ControlPlane) -> None:
    with reserved_port() as port:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            control_plane.kubeconfig.read_text().replace(control_plane.url, f"https://127.0.0.1:{port}")
        )
        result = doctor(kubeconfig)
    assert result.exit_code == 2
    assert "the API server cannot be reached" in result.stderr
