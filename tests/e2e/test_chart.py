"""The chart against a real API server: validation, selection of pods, permissions and upgrades."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as k8s

from tests import yamls
from tests.chart.rendering import (
    CHART,
    FULLNAME,
    VALUE_SETS,
    Object,
    is_hook,
    one,
    render,
    values,
)
from tests.controlplane.child import Child
from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import reserved_port
from tests.e2e.api import Api, eventually
from tests.e2e.release import SERVED_BY, Release, installed, point_at, run_helm, served

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CHECK_INJECTION = CHART / "files" / "check_injection.py"
RUNNING = values(deployments__enabled=True, events=True, test__namespace="chart-running-served")
SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
SERVICE = {"serving.kserve.io/inferenceservice": "iris"}
URI = {"storage.kserve.io/uri": "s3://models/iris"}
OPTED_OUT = {"storage.kserve.io/inject": "disabled"}
WITH_MODEL: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "with-model-", "annotations": URI},
    "spec": {"containers": [{"name": "server", "image": "server:1"}]},
}


@pytest.fixture(scope="module")
def down(control_plane: ControlPlane, api: Api) -> Iterator[Release]:
    """A release whose webhook is down."""
    with reserved_port() as port, installed(control_plane, "chart-down") as release:
        point_at(api, release, f"https://127.0.0.1:{port}")
        namespace = served(api, release)
        eventually(lambda: api.calls_webhook(namespace, WITH_MODEL))
        yield release


@pytest.fixture(scope="module")
def running(
    control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Release, str]]:
    """A release whose webhook runs with self-managed certificates, and a namespace that it serves."""
    directory = tmp_path_factory.mktemp("running")
    with (
        installed(control_plane, "chart-running", *RUNNING) as release,
        _self_managed(control_plane, release, directory) as url,
    ):
        point_at(api, release, url)
        namespace = served(api, release)
        eventually(lambda: api.injected(namespace, WITH_MODEL))
        yield release, namespace


@pytest.mark.parametrize("path", [None, *VALUE_SETS], ids=lambda path: path.name if path else "defaults")
def test_the_api_server_accepts_every_object(api, prerequisites, path):
    manifests = render(*(["--values", path] if path else []))
    if any(manifest["kind"] == "ValidatingAdmissionPolicy" for manifest in manifests):
        api.require(30)
    for manifest in manifests:
        # Pods need their service account, so accounts are stored.
        dry_run = {} if manifest["kind"] == "ServiceAccount" else {"dryRun": "All"}
        response = api.apply(manifest, **dry_run)
        assert response.is_success, f"{manifest['kind']} {manifest['metadata']['name']}: {response.text}"


@pytest.mark.parametrize(
    ("metadata", "init_containers", "called"),
    [
        ({}, [], False),
        ({"annotations": {"example.com/uri": "s3://models/iris"}}, [], False),
        ({"annotations": URI}, [], True),
        ({"annotations": {"storage.kserve.io/uris": "[]"}}, [], True),
        ({"annotations": {SOURCE: "s3://models/iris"}}, [], False),
        ({"labels": SERVICE}, [], False),
        ({"labels": SERVICE, "annotations": {SOURCE: "s3://models/iris"}}, [], True),
        ({"labels": SERVICE}, ["storage-initializer"], True),
        ({"labels": SERVICE}, ["istio-init"], False),
        ({"labels": {"app": "iris"}}, ["storage-initializer"], False),
        ({"labels": {"app": "iris"}, "annotations": URI}, ["storage-initializer"], True),
        ({"labels": OPTED_OUT, "annotations": URI}, [], False),
        ({"labels": {**OPTED_OUT, **SERVICE}}, ["storage-initializer"], False),
    ],
)
def test_webhook_is_called_for_pods_that_request_a_model(control_plane, api, down, metadata, init_containers, called):
    namespace = served(api, down)
    assert api.calls_webhook(namespace, _pod(metadata, init_containers)) is called


def test_webhook_is_not_called_in_excluded_namespaces(control_plane, api, down):
    opted_out = api.furnished("chart-opted-out", {**down.served, **OPTED_OUT})
    api.furnished(down.namespace, down.served)
    api.furnished("kube-system", down.served)
    assert not api.calls_webhook(opted_out, WITH_MODEL)
    assert not api.calls_webhook(down.namespace, WITH_MODEL)
    assert not api.calls_webhook("kube-system", WITH_MODEL)


def test_only_listed_namespaces_are_served(control_plane, api):
    teams = ["chart-team-a", "chart-team-b"]
    for team in teams:
        api.furnished(team, {SERVED_BY: "chart-named"})
    named = values(namespaces=teams[:1])
    with reserved_port() as port, installed(control_plane, "chart-named", *named) as release:
        point_at(api, release, f"https://127.0.0.1:{port}")
        eventually(lambda: api.calls_webhook(teams[0], WITH_MODEL))
        assert not api.calls_webhook(teams[1], WITH_MODEL)


def test_service_account_has_least_privilege(control_plane, api, down):
    api.apply(_configmap("other", down.namespace)).raise_for_status()
    settings = one("ConfigMap", down.objects)["metadata"]["name"]
    account = control_plane.service_account(down.namespace, FULLNAME)
    with control_plane.client(account) as client:
        core = k8s.CoreV1Api(client)
        listed = core.list_namespaced_config_map(down.namespace, field_selector=f"metadata.name={settings}")
        assert [each.metadata and each.metadata.name for each in listed.items] == [settings]
        assert _status(core.read_namespaced_config_map, "other", down.namespace) == 403
        assert _status(core.delete_namespaced_secret, f"{FULLNAME}-certificates", down.namespace) == 403
        assert _status(core.list_namespaced_config_map, down.namespace) == 403
        assert _status(core.read_namespaced_secret, "absent", "default") == 404
        assert _status(core.list_namespaced_secret, "default") == 403
        assert _status(core.read_namespaced_service_account, "absent", "default") == 404
        assert _status(core.list_namespaced_pod, "default") == 403
        containers = k8s.CustomObjectsApi(client).list_cluster_custom_object
        assert _status(containers, "serving.kserve.io", "v1alpha1", "clusterstoragecontainers") in (None, 404)


def test_without_credentials_secrets_cannot_be_read(control_plane):
    with installed(control_plane, "chart-no-credentials", *values(credentials__enabled=False)) as release:
        account = control_plane.service_account(release.namespace, FULLNAME)
        with control_plane.client(account) as client:
            core = k8s.CoreV1Api(client)
            assert _status(core.read_namespaced_secret, "absent", "default") == 403
            assert _status(core.read_namespaced_service_account, "default", "default") == 403


def test_chart_meets_pod_security_restricted(api, down):
    namespace = api.namespace(down.namespace, {**down.served, "pod-security.kubernetes.io/enforce": "restricted"})
    webhook = one("Deployment", down.objects)["spec"]["template"]["spec"]
    (test,) = (each["spec"] for each in render() if each["kind"] == "Pod")
    for spec in (webhook, test):
        metadata = {"name": "restricted", "namespace": namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | {"serviceAccountName": FULLNAME}}
        response = api.apply(pod, dryRun="All")
        assert response.is_success, response.text


def test_helm_test_reports_what_happened_to_a_pod(control_plane, api, running):
    release, namespace = running
    account = _test_account(control_plane, api, release)
    assert _check(account, namespace) == (0, f"A pod with a model in namespace {namespace} was injected.\n")
    settings = api.get(one("ConfigMap", release.objects))
    mode = {"op": "replace", "path": "/data/storageDefaults", "value": "mode: observe"}
    api.patch(settings, [mode])
    try:
        eventually(lambda: "because of observe mode" in _check(account, namespace)[1])
        assert _check(account, namespace)[0] == 0
    finally:
        api.patch(settings, [{**mode, "value": settings["data"]["storageDefaults"]}])
        eventually(lambda: api.injected(namespace, WITH_MODEL))


def test_invalid_settings_are_rejected_on_apply(api, running):
    release, _ = running
    settings = one("ConfigMap", release.objects)
    invalid = settings["data"] | {"storageDefaults": '{"readOnyl": true}'}
    response = api.apply(settings | {"data": invalid}, dryRun="All")
    assert response.is_error
    assert "storageDefaults.readOnyl" in response.json()["message"]
    assert api.apply(_configmap("other", release.namespace) | {"data": invalid}, dryRun="All").is_success


def test_deployment_that_writes_to_a_claim_is_recreated(api, running):
    _, namespace = running
    writing = {"storage.kserve.io/uri": "pvc://models/iris", "storage.kserve.io/readonly": "false"}
    assert _strategy(api, namespace, writing) == "Recreate"
    assert _strategy(api, namespace, {}) == "RollingUpdate"


def test_helm_test_fails_if_a_pod_is_rejected_or_not_injected(control_plane, api, down):
    namespace, elsewhere = served(api, down), api.furnished("chart-elsewhere")
    code, output = _check(control_plane.kubeconfig, namespace)
    assert code == 1
    assert f"rejected a pod with a model in namespace {namespace}" in output
    assert _check(control_plane.kubeconfig, elsewhere) == (
        1,
        f"A pod with a model in namespace {elsewhere} was not injected: the API server did not call the webhook, or "
        "the webhook skipped the pod.\n",
    )


@contextmanager
def _self_managed(plane: ControlPlane, release: Release, directory: Path) -> Iterator[str]:
    """Run the webhook with the options and the permissions of the chart. Yields its URL.

    Unlike in a cluster, it listens on loopback, and its certificate is valid for localhost.
    """
    log = directory / "webhook.log"
    local_options = [
        "--host=127.0.0.1",
        "--port=0",
        "--metrics-port=0",
        "--drain-seconds=0",
        "--certificate-names=localhost",
    ]
    kubeconfig = f"KUBECONFIG={plane.service_account(release.namespace, FULLNAME)}"
    command = ["/usr/bin/env", kubeconfig, sys.executable, "-m", "webhook", *release.arguments, *local_options]
    child = Child(command, log, lambda: _address(log) is not None)
    child.start()
    try:
        yield str(_address(log)).replace("127.0.0.1", "localhost")
    finally:
        child.stop()


def _address(log: Path) -> str | None:
    """The address in the webhook's log, if it serves already."""
    events = [json.loads(line) for line in log.read_text().splitlines() if '"address"' in line]
    return events[0]["address"] if events else None


def _strategy(api: Api, namespace: str, annotations: Mapping[str, str]) -> str:
    """The strategy of a new Deployment whose pods have these annotations."""
    template = {"metadata": {"labels": {"app": "x"}, "annotations": dict(annotations)}, "spec": WITH_MODEL["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template},
    }
    response = api.apply(deployment, dryRun="All").raise_for_status()
    return str(response.json()["spec"]["strategy"]["type"])


def _check(kubeconfig: Path, namespace: str) -> tuple[int, str]:
    """Run the script of `helm test`. Returns its exit code and output."""
    variables = {"NAMESPACE": namespace, "IMAGE": "server:1", "LABELS": "{}"}
    run = subprocess.run(
        [sys.executable, "-c", CHECK_INJECTION.read_text()],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def _test_account(plane: ControlPlane, api: Api, release: Release) -> Path:
    """A kubeconfig of the test's service account, with the permissions of the chart."""
    text = run_helm(plane, release.namespace, "get hooks")
    hooks = [each for each in yamls.documents(text) if each["kind"] != "Pod"]
    assert all(map(is_hook, hooks))
    for each in hooks:
        api.apply(each).raise_for_status()
    (account,) = (each["metadata"]["name"] for each in hooks if each["kind"] == "ServiceAccount")
    return plane.service_account(release.namespace, account)


def _pod(metadata: Object, init_containers: Sequence[str]) -> Object:
    inits = [{"name": name, "image": "init:1"} for name in init_containers]
    spec = WITH_MODEL["spec"] | ({"initContainers": inits} if inits else {})
    return WITH_MODEL | {"metadata": {"generateName": "pod-", **metadata}, "spec": spec}


def _configmap(name: str, namespace: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def _status(call: Callable[..., Any], *arguments: str) -> int | None:
    """The HTTP status if the API server rejects the call, else None."""
    try:
        call(*arguments)
    except k8s.ApiException as error:
        return int(error.status)
    return None
