"""The chart against a real API server: accepted, called for whom it should be, and kept through upgrades."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from kubernetes.client import ApiException, CoreV1Api, CustomObjectsApi

from tests.chart.rendering import (
    CHART,
    FULLNAME,
    NAMESPACE,
    RELEASE,
    VALUE_SETS,
    Object,
    helm,
    is_hook,
    one,
    render,
    values,
)
from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import reserved_port

CRDS = Path(__file__).parents[1] / "chart" / "crds.yaml"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CHECK_INJECTION = CHART / "files" / "check_injection.py"
# The API server is shared: a release is called only for pods in namespaces that carry its own namespace as this label.
SERVED_BY = "served-by"
PATIENCE = 30
"""Seconds to wait for what has to happen; far more than it takes."""

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
SERVICE = {"serving.kserve.io/inferenceservice": "iris"}
URI = {"storage.kserve.io/uri": "s3://models/iris"}
OPTED_OUT = {"storage.kserve.io/inject": "disabled"}
ASKING: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "asking-", "annotations": URI},
    "spec": {"containers": [{"name": "server", "image": "server:1"}]},
}


class Api:
    """The API as it is on the wire, by kinds."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self._resources: dict[str, list[dict[str, Any]]] = {}

    def apply(self, manifest: Object, **parameters: str) -> httpx.Response:
        """Server-side apply; a field that the API does not know is refused."""
        return self.http.patch(
            self.path(manifest),
            params={"fieldManager": "test", "fieldValidation": "Strict", "force": "true", **parameters},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )

    def path(self, manifest: Object) -> str:
        group, metadata = manifest["apiVersion"], manifest["metadata"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        if root not in self._resources:
            self._resources[root] = self.http.get(root).json()["resources"]
        resource = next(
            each for each in self._resources[root] if each["kind"] == manifest["kind"] and "/" not in each["name"]
        )
        within = f"/namespaces/{metadata['namespace']}" if resource["namespaced"] else ""
        return f"{root}{within}/{resource['name']}/{metadata['name']}"

    def get(self, manifest: Object) -> Object:
        """The stored object of a rendered one."""
        return dict(self.http.get(self.path(manifest)).raise_for_status().json())

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """A namespace that may be there already: the chart's values name some."""
        metadata = {"name": name, "labels": dict(labels or {})}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.apply(manifest).raise_for_status()
        return name

    def asked(self, namespace: str, pod: Object) -> bool:
        """Whether the webhook, which is down, is called for this pod: then it is refused, and else made."""
        answer = self.http.post(f"/api/v1/namespaces/{namespace}/pods", params={"dryRun": "All"}, json=pod)
        if answer.status_code == httpx.codes.CREATED:
            return False
        assert 'failed calling webhook "pods.storage.kserve.io"' in answer.json()["message"]
        return True

    def injected(self, namespace: str, pod: Object) -> bool:
        """Whether this pod would be made with an init container."""
        answer = self.http.post(f"/api/v1/namespaces/{namespace}/pods", params={"dryRun": "All"}, json=pod)
        return answer.is_success and "initContainers" in answer.json()["spec"]


@dataclass(frozen=True)
class Release:
    """An installed release, and what it was rendered from."""

    namespace: str
    objects: list[Object]

    @property
    def served(self) -> dict[str, str]:
        """The label of namespaces that this release serves."""
        return {SERVED_BY: self.namespace}

    @property
    def configuration(self) -> Object:
        return one("MutatingWebhookConfiguration", self.objects)


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    with control_plane.http() as http:
        yield Api(http)


@pytest.fixture(scope="module")
def places(api: Api) -> None:
    """What the value sets suppose to be in the cluster: namespaces, and the kinds of others."""
    for namespace in (NAMESPACE, "kserve", "team-a", "team-b", "models"):
        api.namespace(namespace)
    for crd in yaml.safe_load_all(CRDS.read_text()):
        api.apply(crd).raise_for_status()
    for crd in yaml.safe_load_all(CRDS.read_text()):
        _eventually(partial(_is_served, api, crd))


@contextmanager
def installed(plane: ControlPlane, namespace: str, *options: str) -> Iterator[Release]:
    """A release of the chart, installed by helm and removed again."""
    _helm(plane, namespace, "install", "--create-namespace", *options)
    try:
        text = _helm(plane, namespace, "get manifest")
        yield Release(namespace, list(yaml.safe_load_all(text)))
    finally:
        _helm(plane, namespace, "uninstall")


@pytest.fixture(scope="module")
def down(control_plane: ControlPlane, api: Api) -> Iterator[Release]:
    """A release whose webhook is down."""
    with reserved_port() as port, installed(control_plane, "chart-down") as release:
        _point_at(api, release, f"https://127.0.0.1:{port}/mutate-pods")
        served = _served(control_plane, api, release)
        _eventually(lambda: api.asked(served, ASKING))
        yield release


@pytest.mark.parametrize("path", [None, *VALUE_SETS], ids=lambda path: path.name if path else "defaults")
def test_the_api_server_accepts_every_object(api, places, path):
    for manifest in render(*(["--values", path] if path else [])):
        # A pod is refused without its account, so accounts are stored.
        dry_run = {} if manifest["kind"] == "ServiceAccount" else {"dryRun": "All"}
        answer = api.apply(manifest, **dry_run)
        assert answer.is_success, f"{manifest['kind']} {manifest['metadata']['name']}: {answer.text}"


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
def test_the_webhook_is_called_for_pods_that_ask(control_plane, api, down, metadata, init_containers, called):
    namespace = _served(control_plane, api, down)
    assert api.asked(namespace, _pod(metadata, init_containers)) is called


def test_namespaces_that_are_not_served_do_not_wait_for_the_webhook(control_plane, api, down):
    opted_out = _furnished(control_plane, api, "chart-opted-out", {**down.served, **OPTED_OUT})
    _furnished(control_plane, api, down.namespace, down.served)
    _furnished(control_plane, api, "kube-system", down.served)
    assert not api.asked(opted_out, ASKING)
    assert not api.asked(down.namespace, ASKING)
    assert not api.asked("kube-system", ASKING)


def test_named_namespaces_alone_are_served(control_plane, api):
    teams = ["chart-team-a", "chart-team-b"]
    for team in teams:
        _furnished(control_plane, api, team, {SERVED_BY: "chart-named"})
    named = values(namespaces=teams[:1])
    with reserved_port() as port, installed(control_plane, "chart-named", *named) as release:
        _point_at(api, release, f"https://127.0.0.1:{port}/mutate-pods")
        _eventually(lambda: api.asked(teams[0], ASKING))
        assert not api.asked(teams[1], ASKING)


def test_the_account_may_read_what_it_uses_and_nothing_else(control_plane, api, down):
    api.apply(_configmap("other", down.namespace)).raise_for_status()
    settings = one("ConfigMap", down.objects)["metadata"]["name"]
    account = control_plane.service_account(down.namespace, FULLNAME)
    with control_plane.client(account) as client:
        core = CoreV1Api(client)
        chosen = core.list_namespaced_config_map(down.namespace, field_selector=f"metadata.name={settings}")
        assert [each.metadata and each.metadata.name for each in chosen.items] == [settings]
        assert _status(core.read_namespaced_config_map, "other", down.namespace) == 403
        assert _status(core.list_namespaced_config_map, down.namespace) == 403
        assert _status(core.read_namespaced_secret, "absent", "default") == 404
        assert _status(core.list_namespaced_secret, "default") == 403
        assert _status(core.read_namespaced_service_account, "absent", "default") == 404
        assert _status(core.list_namespaced_pod, "default") == 403
        containers = CustomObjectsApi(client).list_cluster_custom_object
        assert _status(containers, "serving.kserve.io", "v1alpha1", "clusterstoragecontainers") in (None, 404)


def test_without_credentials_no_secret_may_be_read(control_plane):
    with installed(control_plane, "chart-no-credentials", *values(credentials__enabled=False)) as release:
        account = control_plane.service_account(release.namespace, FULLNAME)
        with control_plane.client(account) as client:
            core = CoreV1Api(client)
            assert _status(core.read_namespaced_secret, "absent", "default") == 403
            assert _status(core.read_namespaced_service_account, "default", "default") == 403


def test_the_charts_pods_are_admitted_where_pod_security_is_restricted(api, down):
    namespace = api.namespace(down.namespace, {**down.served, "pod-security.kubernetes.io/enforce": "restricted"})
    webhook = one("Deployment", down.objects)["spec"]["template"]["spec"]
    (test,) = (each["spec"] for each in render() if each["kind"] == "Pod")
    for spec in (webhook, test):
        metadata = {"name": "restricted", "namespace": namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | {"serviceAccountName": FULLNAME}}
        answer = api.apply(pod, dryRun="All")
        assert answer.is_success, answer.text


def test_an_upgrade_with_new_settings_restarts_nothing_and_keeps_the_certificate(control_plane, api):
    with installed(control_plane, "chart-upgrade") as release:
        secret, deployment, settings = (one(kind, release.objects) for kind in ("Secret", "Deployment", "ConfigMap"))
        before = [api.get(each) for each in (secret, deployment, release.configuration)]
        image = "registry.example.com/initializer:2"
        _helm(control_plane, release.namespace, "upgrade", *values(storageInitializer__image=image))
        after = [api.get(each) for each in (secret, deployment, release.configuration)]
        assert after[0]["data"] == before[0]["data"]
        assert [each["metadata"].get("generation") for each in after] == [
            each["metadata"].get("generation") for each in before
        ]
        assert json.loads(api.get(settings)["data"]["storageInitializer"])["image"] == image


def test_a_certificate_near_its_end_is_renewed_and_the_old_ca_trusted_until_pods_have_it(control_plane, api):
    with installed(control_plane, "chart-renewal") as release:
        secret = one("Secret", release.objects)
        old = api.get(secret)["data"]
        annotations = {"storage-webhook/expires": "2020-01-01"}
        near_its_end = {**secret, "metadata": {**secret["metadata"], "annotations": annotations}}
        api.apply(near_its_end).raise_for_status()
        _helm(control_plane, release.namespace, "upgrade")
        new = api.get(secret)["data"]
        assert new["tls.crt"] != old["tls.crt"]
        assert _bundle(api, release) == base64.b64decode(new["ca.crt"]) + base64.b64decode(old["ca.crt"])
        _helm(control_plane, release.namespace, "upgrade")
        assert _bundle(api, release) == base64.b64decode(new["ca.crt"])


def test_a_test_run_says_that_a_pod_was_injected(control_plane, api, tmp_path):
    namespace = _furnished(control_plane, api, "chart-tested", {SERVED_BY: "chart-test"})
    asked = values(test__namespace=namespace)
    with installed(control_plane, "chart-test", *asked) as release, _webhook(tmp_path) as (url, authority):
        account = _test_account(control_plane, api, release)
        _point_at(api, release, url, authority)
        _eventually(lambda: api.injected(namespace, ASKING))
        assert _check(account, namespace) == (0, f"A pod with a model in namespace {namespace} was injected.\n")
        code, said = _check(account, namespace, mode="observe")
        assert code == 1
        assert "was injected; mode: observe" in said


def test_a_test_run_fails_where_a_pod_is_refused_or_not_injected(control_plane, api, down):
    served, elsewhere = _served(control_plane, api, down), _furnished(control_plane, api, "chart-elsewhere")
    code, said = _check(control_plane.kubeconfig, served)
    assert code == 1
    assert f"refused a pod with a model in namespace {served}" in said
    assert _check(control_plane.kubeconfig, elsewhere) == (
        1,
        f"A pod with a model in namespace {elsewhere} was not injected; mode: enforce\n",
    )


@contextmanager
def _webhook(directory: Path) -> Iterator[tuple[str, bytes]]:
    """The real webhook as a process: its URL, and the CA that it is trusted by."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = directory / "tls.crt", directory / "tls.key"
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    command = [sys.executable, "-m", "webhook", "serve", "--host=127.0.0.1", "--port=0", "--log-format=json"]
    command += [f"--tls-cert-file={files[0]}", f"--tls-key-file={files[1]}"]
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"{_address(process)}/mutate-pods", authority.cert_pem.bytes()
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    for line in process.stdout:
        if "address" in (said := json.loads(line)):
            return str(said["address"])
    raise AssertionError("the webhook ended before it served")


def _check(kubeconfig: Path, namespace: str, mode: str = "enforce") -> tuple[int, str]:
    """What `helm test` runs, as its pod would: exit code and what it said."""
    asked = {"NAMESPACE": namespace, "IMAGE": "server:1", "LABELS": "{}", "MODE": mode}
    run = subprocess.run(
        [sys.executable, "-c", CHECK_INJECTION.read_text()],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def _test_account(plane: ControlPlane, api: Api, release: Release) -> Path:
    """Who runs the test, with the rights that the chart gives."""
    text = _helm(plane, release.namespace, "get hooks")
    hooks = [each for each in yaml.safe_load_all(text) if each["kind"] != "Pod"]
    assert all(map(is_hook, hooks))
    for each in hooks:
        api.apply(each).raise_for_status()
    (account,) = (each["metadata"]["name"] for each in hooks if each["kind"] == "ServiceAccount")
    return plane.service_account(release.namespace, account)


def _helm(plane: ControlPlane, namespace: str, command: str, *options: str) -> str:
    where = ("--namespace", namespace, "--kubeconfig", str(plane.kubeconfig))
    if command in ("install", "upgrade"):
        label = {"key": SERVED_BY, "operator": "In", "values": [namespace]}
        options = (str(CHART), *values(webhook__namespaceSelector=[label]), *options)
    run = helm(*command.split(), RELEASE, *where, *options)
    assert run.returncode == 0, run.stderr
    return run.stdout


def _point_at(api: Api, release: Release, url: str, authority: bytes = b"") -> None:
    """Only this differs from an installation with a network: the API server finds the webhook by URL."""
    config = {"url": url, **({"caBundle": base64.b64encode(authority).decode()} if authority else {})}
    patch = [{"op": "replace", "path": "/webhooks/0/clientConfig", "value": config}]
    headers = {"Content-Type": "application/json-patch+json"}
    api.http.patch(api.path(release.configuration), headers=headers, content=json.dumps(patch)).raise_for_status()


def _bundle(api: Api, release: Release) -> bytes:
    (webhook,) = api.get(release.configuration)["webhooks"]
    return base64.b64decode(webhook["clientConfig"]["caBundle"])


def _furnished(plane: ControlPlane, api: Api, name: str, labels: Mapping[str, str] | None = None) -> str:
    """A namespace that pods can be made in, with these labels from now on."""
    api.namespace(name, labels)
    if api.http.get(f"/api/v1/namespaces/{name}/serviceaccounts/default").is_error:
        plane.furnish_namespace(name)
    return name


def _served(plane: ControlPlane, api: Api, release: Release) -> str:
    """A namespace that the release serves."""
    return _furnished(plane, api, f"{release.namespace}-served", release.served)


def _is_served(api: Api, crd: Object) -> bool:
    conditions = api.get(crd).get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _eventually(condition: Callable[[], bool]) -> None:
    """The API server sees new configurations, labels and kinds a moment later."""
    for _ in range(PATIENCE * 10):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not so after {PATIENCE} seconds")


def _pod(metadata: Object, init_containers: Sequence[str]) -> Object:
    inits = [{"name": name, "image": "init:1"} for name in init_containers]
    spec = ASKING["spec"] | ({"initContainers": inits} if inits else {})
    return ASKING | {"metadata": {"generateName": "pod-", **metadata}, "spec": spec}


def _configmap(name: str, namespace: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def _status(call: Callable[..., Any], *arguments: str) -> int | None:
    """The status with which the API server refuses a call; None when it does not."""
    try:
        call(*arguments)
    except ApiException as refused:
        return int(refused.status)
    return None
