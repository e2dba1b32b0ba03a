"""The control plane for tests is a real one, keeps its data and ends with the test run."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client as k8s

from tests.controlplane import binaries, pins
from tests.controlplane.plane import ControlPlane
from tests.controlplane.plane import control_plane as new_control_plane

TIMEOUT = 30.0
"""Timeout in seconds, much longer than needed."""

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod"},
    "spec": {
        "containers": [{"name": "server", "image": "server:1"}],
        "volumes": [{"name": "model", "image": {"reference": "model:1"}}],
    },
}


def test_version_is_the_pinned_release(control_plane: ControlPlane) -> None:
    if binaries.find(pins.KUBE_APISERVER) != binaries.built(pins.KUBE_APISERVER):
        pytest.skip("this API server was not built here, so its release may differ")
    assert control_plane.version() == pins.version(pins.KUBE_APISERVER)


def test_a_pod_is_defaulted_and_stored(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("stored")
    create_pod(control_plane, namespace, POD).raise_for_status()
    with control_plane.http() as http:
        spec = http.get(f"/api/v1/namespaces/{namespace}/pods/pod").json()["spec"]
    model, token = spec["volumes"]
    assert spec["restartPolicy"] == "Always"
    assert spec["serviceAccountName"] == "default"
    assert model == {"name": "model", "image": {"reference": "model:1", "pullPolicy": "IfNotPresent"}}
    assert {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]} in [
        source.get("configMap") for source in token["projected"]["sources"]
    ]


def test_pod_security_is_enforced(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    response = create_pod(control_plane, namespace, POD)
    assert response.status_code == 403
    assert "violates PodSecurity" in response.json()["message"]


def test_quota_is_enforced(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("one-pod")
    control_plane.resource_quota(namespace, "pods", {"pods": "1"})
    create_pod(control_plane, namespace, POD).raise_for_status()
    response = create_pod(control_plane, namespace, POD | {"metadata": {"name": "second"}})
    assert response.status_code == 403
    assert "exceeded quota: pods" in response.json()["message"]


def test_user_has_no_permissions_by_default(control_plane: ControlPlane) -> None:
    alice = control_plane.user("alice", ["some", "groups"])
    assert identity(control_plane, alice) == ("alice", ["some", "groups", "system:authenticated"])
    with control_plane.client(alice) as api, pytest.raises(k8s.ApiException, match="403"):
        k8s.CoreV1Api(api).list_namespaced_pod("default")


def test_service_account_has_its_identity(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("accounts")
    name, _ = identity(control_plane, control_plane.service_account(namespace, "default"))
    assert name == "system:serviceaccount:accounts:default"


def test_restart_keeps_data(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("restarted")
    account = control_plane.service_account(namespace, "default")
    control_plane.stop_apiserver()
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", httpx.URL(control_plane.url).port or 0))
    finally:
        control_plane.start_apiserver()
    assert identity(control_plane, control_plane.kubeconfig)
    assert identity(control_plane, account)
    with control_plane.client() as api:
        assert k8s.CoreV1Api(api).read_namespace(namespace)


@pytest.mark.parametrize("command", [(binaries.kubectl, "get", "namespaces"), (binaries.helm, "list")])
def test_command_line_tools_can_connect(control_plane: ControlPlane, command: tuple[Any, ...]) -> None:
    program, *arguments = command
    subprocess.run([program(), *arguments, "--kubeconfig", control_plane.kubeconfig], check=True, capture_output=True)


KILLED = """
import sys
from pathlib import Path
from tests.controlplane.plane import control_plane
with control_plane(base=Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills child processes with their parent")
def test_no_process_outlives_a_killed_run(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == b"up\n"
        assert len(processes_with(tmp_path)) == 3  # the script, etcd and kube-apiserver
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_with(tmp_path))
    (abandoned,) = tmp_path.iterdir()
    with new_control_plane(base=tmp_path):
        assert not abandoned.exists()
    assert not processes_with(tmp_path)
    assert not list(tmp_path.iterdir())


def create_pod(plane: ControlPlane, namespace: str, pod: dict[str, Any]) -> httpx.Response:
    with plane.http() as http:
        return http.post(f"/api/v1/namespaces/{namespace}/pods", json=pod)


def identity(plane: ControlPlane, kubeconfig: Path) -> tuple[str, list[str]]:
    """The user name and groups that the API server derives from the kubeconfig."""
    with plane.client(kubeconfig) as api:
        review = k8s.AuthenticationV1Api(api).create_self_subject_review(k8s.V1SelfSubjectReview()).to_dict()
    user = review["status"]["user_info"]
    return user["username"], user["groups"]


def processes_with(directory: Path) -> list[str]:
    """The IDs of the processes with the directory in their command line."""
    return [
        command.parent.name
        for command in Path("/proc").glob("[0-9]*/cmdline")
        if str(directory).encode() in read_if_exists(command)
    ]


def read_if_exists(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended
        return b""


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)
