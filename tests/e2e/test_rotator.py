"""Certificate rotation against a real API server: storing, publishing, rotating and repairing."""

import base64
import datetime
import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as k8s

from tests.certificates.test_rotation import trusts
from tests.controlplane.plane import ControlPlane
from webhook.certificates.rotation import Pair, Policy
from webhook.certificates.rotator import CertificateRotator, SecretNotWritable, Target

DAY = datetime.timedelta(days=1)
NAME = "hook.certs.svc"
POLICY = Policy((NAME,), ca_lifetime=30 * DAY, serving_lifetime=9 * DAY, propagation=datetime.timedelta(seconds=10))
SECRET = "webhook-certificates"
CONFIGURATION = "rotator-test"


class Replica:
    """A rotator and the certificates it serves."""

    def __init__(
        self,
        client: k8s.ApiClient,
        namespace: str,
        name: str,
        *,
        configuration: str = CONFIGURATION,
        removed_with_namespace: bool = False,
    ) -> None:
        self.served: list[tuple[Pair, bytes]] = []
        target = Target(namespace, SECRET, (configuration,), name, removed_with_namespace)
        self.rotator = CertificateRotator(client, target, POLICY, lambda pair, ca: self.served.append((pair, ca)))

    @property
    def certificate(self) -> bytes:
        return self.served[-1][0].certificate


@pytest.fixture
def client(control_plane: ControlPlane) -> Iterator[k8s.ApiClient]:
    with control_plane.client() as client:
        yield client


@pytest.fixture
def namespace(control_plane: ControlPlane, client: k8s.ApiClient) -> Iterator[str]:
    hooks = k8s.AdmissionregistrationV1Api(client)
    webhooks = [
        {
            "name": f"{letter}.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/mutate-pods"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for letter in "ab"
    ]
    body: Any = {"metadata": {"name": CONFIGURATION}, "webhooks": webhooks}
    hooks.create_mutating_webhook_configuration(body)
    yield control_plane.namespace(f"rotator-{uuid.uuid4().hex[:8]}")
    hooks.delete_mutating_webhook_configuration(CONFIGURATION)


def bundles(client: k8s.ApiClient) -> list[bytes]:
    found: Any = k8s.AdmissionregistrationV1Api(client).read_mutating_webhook_configuration(CONFIGURATION)
    return [base64.b64decode(webhook.client_config.ca_bundle or "") for webhook in found.webhooks]


def split(bundle: bytes) -> tuple[bytes, ...]:
    end = b"-----END CERTIFICATE-----\n"
    return tuple(part + end for part in bundle.split(end) if part.strip())


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_first_start_stores_publishes_and_serves(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    replica.rotator.tick(now())
    assert not replica.served, "a certificate was served before its CA was published"
    assert all(bundles(client))
    replica.rotator.tick(now())
    assert all(trusts(split(bundle), replica.certificate, now(), NAME) for bundle in bundles(client))


def test_empty_objects_of_the_chart_are_filled(client: k8s.ApiClient, namespace: str) -> None:
    metadata = k8s.V1ObjectMeta(name=SECRET, labels={"app.kubernetes.io/managed-by": "Helm"})
    k8s.CoreV1Api(client).create_namespaced_secret(namespace, k8s.V1Secret(metadata=metadata))
    leases = k8s.CoordinationV1Api(client)
    leases.create_namespaced_lease(namespace, k8s.V1Lease(metadata=metadata))
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.rotator.tick(now())
    assert all(trusts(split(bundle), replica.certificate, now(), NAME) for bundle in bundles(client))
    lease: Any = leases.read_namespaced_lease(SECRET, namespace)
    assert (lease.spec.holder_identity, lease.metadata.labels) == ("one", metadata.labels)


def test_two_replicas_serve_the_same_certificate_and_one_leads(client: k8s.ApiClient, namespace: str) -> None:
    one, two = Replica(client, namespace, "one"), Replica(client, namespace, "two")
    for _ in range(2):
        one.rotator.tick(now())
        two.rotator.tick(now())
    assert one.certificate == two.certificate
    lease: Any = k8s.CoordinationV1Api(client).read_namespaced_lease(SECRET, namespace)
    assert lease.spec.holder_identity == "one"


def test_both_replicas_follow_six_weeks_of_rotation(client: k8s.ApiClient, namespace: str) -> None:
    one, two = Replica(client, namespace, "one"), Replica(client, namespace, "two")
    start = now()
    times = itertools.product(range(0, 45, 2), range(0, 20, 5))
    for at in (start + datetime.timedelta(days=days, seconds=seconds) for days, seconds in times):
        one.rotator.tick(at)
        # The follower's certificate must be trusted even after the leader has moved on.
        if two.served:
            assert all(trusts(split(bundle), two.certificate, at, NAME) for bundle in bundles(client))
        two.rotator.tick(at)
    assert len({pair.certificate for pair, _ in one.served}) >= 6
    assert len({ca for _, ca in one.served}) >= 2
    assert one.certificate == two.certificate


def test_time_without_checks_does_not_count_as_propagation(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    start = now()
    for seconds in (0, 5, 10):
        replica.rotator.tick(start + datetime.timedelta(seconds=seconds))
    late = start + datetime.timedelta(days=25)
    for seconds in (0, 5):
        replica.rotator.tick(late + datetime.timedelta(seconds=seconds))
    assert len(split(bundles(client)[0])) == 2, "the new CA was not published"
    before = replica.certificate
    after_gap = late + datetime.timedelta(hours=1)
    replica.rotator.tick(after_gap)
    assert replica.certificate == before
    for seconds in (5, 10):
        replica.rotator.tick(after_gap + datetime.timedelta(seconds=seconds))
    assert replica.certificate != before, "the new CA did not sign after its propagation time"


@pytest.mark.parametrize("damage", ["delete", "garbage", "empty"])
def test_damaged_secret_is_restored(client: k8s.ApiClient, namespace: str, damage: str) -> None:
    core = k8s.CoreV1Api(client)
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.rotator.tick(now())
    before = replica.certificate
    if damage == "delete":
        core.delete_namespaced_secret(SECRET, namespace)
    else:
        data = {"tls.crt": "Z2FyYmFnZQ==", "state.json": "W10="} if damage == "garbage" else {"state.json": ""}
        core.patch_namespaced_secret(SECRET, namespace, {"data": data})
    replica.rotator.tick(now())
    new_replica = Replica(client, namespace, "two")
    new_replica.rotator.tick(now())
    assert new_replica.certificate == before, "a new replica serves a different certificate"


def test_edited_ca_bundle_is_repaired(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.rotator.tick(now())
    good = bundles(client)
    hooks = k8s.AdmissionregistrationV1Api(client)
    operations = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    hooks.patch_mutating_webhook_configuration(CONFIGURATION, operations)
    assert bundles(client) != good
    replica.rotator.tick(now())
    assert bundles(client) == good


def test_new_installation_keeps_old_replicas_trusted(client: k8s.ApiClient, namespace: str) -> None:
    old = Replica(client, namespace, "old")
    for _ in range(2):
        old.rotator.tick(now())
    k8s.CoreV1Api(client).delete_namespaced_secret(SECRET, namespace)
    k8s.CoordinationV1Api(client).delete_namespaced_lease(SECRET, namespace)
    new = Replica(client, namespace, "new")
    for _ in range(2):
        new.rotator.tick(now())
    assert new.certificate != old.certificate
    for bundle in bundles(client):
        assert trusts(split(bundle), old.certificate, now(), NAME)
        assert trusts(split(bundle), new.certificate, now(), NAME)


@pytest.mark.parametrize("days", [31, 800])
def test_an_expired_ca_is_replaced_after_a_long_sleep(client: k8s.ApiClient, namespace: str, days: int) -> None:
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.rotator.tick(now())
    before = replica.certificate
    late = now() + days * DAY
    fresh = Replica(client, namespace, "one")
    for seconds in (0, 5):
        fresh.rotator.tick(late + datetime.timedelta(seconds=seconds))
    assert fresh.certificate != before
    assert all(trusts(split(bundle), fresh.certificate, late, NAME) for bundle in bundles(client))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"immutable": True}, "is immutable: delete it, or name another one with --certificate-secret"),
        (
            {"type": "kubernetes.io/basic-auth", "stringData": {"username": "a"}},
            "of type kubernetes.io/basic-auth does not accept certificates: delete it, or name another one",
        ),
    ],
)
def test_a_secret_that_cannot_be_written_is_named_with_what_to_do(
    client: k8s.ApiClient, namespace: str, body: Any, words: str
) -> None:
    core = k8s.CoreV1Api(client)
    core.create_namespaced_secret(namespace, {"metadata": {"name": SECRET}, **body})
    replica = Replica(client, namespace, "one")
    with pytest.raises(SecretNotWritable, match=f"Secret {namespace}/{SECRET} {words}"):
        replica.rotator.tick(now())
    with pytest.raises(TimeoutError, match=words):
        replica.rotator.start(1)
    replica.rotator.stop()
    core.delete_namespaced_secret(SECRET, namespace)
    for _ in range(2):
        replica.rotator.tick(now())
    assert replica.served


def test_nothing_is_served_without_a_webhook_configuration(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one", configuration="no-such-configuration")
    for _ in range(3):
        replica.rotator.tick(now())
    assert not replica.served


def owners(client: k8s.ApiClient) -> list[tuple[str, str, str]]:
    found: Any = k8s.AdmissionregistrationV1Api(client).read_mutating_webhook_configuration(CONFIGURATION)
    return [(each.kind, each.name, each.uid) for each in found.metadata.owner_references or ()]


def uid_of(client: k8s.ApiClient, namespace: str) -> str:
    found: Any = k8s.CoreV1Api(client).read_namespace(namespace)
    return str(found.metadata.uid)


@pytest.mark.parametrize("removed", [False, True])
def test_the_namespace_owns_the_configurations_if_it_was_asked_for(
    client: k8s.ApiClient, namespace: str, removed: bool
) -> None:
    replica = Replica(client, namespace, "one", removed_with_namespace=removed)
    for _ in range(2):
        replica.rotator.tick(now())
    assert replica.served
    assert owners(client) == ([("Namespace", namespace, uid_of(client, namespace))] if removed else [])


@pytest.mark.parametrize(
    ("kind", "own", "stays"), [("Namespace", True, False), ("Namespace", False, True), ("ConfigMap", True, True)]
)
def test_an_owner_that_others_set_stays(
    client: k8s.ApiClient, namespace: str, kind: str, own: bool, stays: bool
) -> None:
    """A namespace of the same name that was deleted is replaced: with it, Kubernetes deletes the configuration."""
    other = {"apiVersion": "v1", "kind": kind, "name": namespace if own else "other", "uid": str(uuid.uuid4())}
    operations = [{"op": "add", "path": "/metadata/ownerReferences", "value": [other]}]
    k8s.AdmissionregistrationV1Api(client).patch_mutating_webhook_configuration(CONFIGURATION, operations)
    Replica(client, namespace, "one", removed_with_namespace=True).rotator.tick(now())
    expected = (kind, other["name"], other["uid"]) if stays else (kind, namespace, uid_of(client, namespace))
    assert owners(client) == [expected]
