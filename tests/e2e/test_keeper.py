"""The keeper of certificates against a real API server: stored, published, rotated, repaired."""

import base64
import datetime
import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as k8s

from tests.certs.test_rotation import trusts
from tests.controlplane.plane import ControlPlane
from webhook.certs.keeper import CertificateKeeper, Place
from webhook.certs.rotation import Pair, Policy

DAY = datetime.timedelta(days=1)
NAME = "hook.certs.svc"
POLICY = Policy((NAME,), ca_lifetime=30 * DAY, serving_lifetime=9 * DAY, settle=datetime.timedelta(seconds=10))
SECRET = "webhook-certificates"
CONFIGURATION = "keeper-test"


class Replica:
    """One keeper and what it serves."""

    def __init__(self, client: k8s.ApiClient, namespace: str, name: str) -> None:
        self.served: list[tuple[Pair, bytes]] = []
        place = Place(namespace, SECRET, (CONFIGURATION,), name)
        self.keeper = CertificateKeeper(client, place, POLICY, lambda pair, ca: self.served.append((pair, ca)))

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
    yield control_plane.namespace(f"keeper-{uuid.uuid4().hex[:8]}")
    hooks.delete_mutating_webhook_configuration(CONFIGURATION)


def bundles(client: k8s.ApiClient) -> list[bytes]:
    found: Any = k8s.AdmissionregistrationV1Api(client).read_mutating_webhook_configuration(CONFIGURATION)
    return [base64.b64decode(webhook.client_config.ca_bundle or "") for webhook in found.webhooks]


def split(bundle: bytes) -> tuple[bytes, ...]:
    end = b"-----END CERTIFICATE-----\n"
    return tuple(part + end for part in bundle.split(end) if part.strip())


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_first_start_stores_then_publishes_then_serves(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    replica.keeper.tick(now())
    assert not replica.served, "nothing is served before it is published"
    assert all(bundles(client))
    replica.keeper.tick(now())
    assert all(trusts(split(bundle), replica.certificate, now(), NAME) for bundle in bundles(client))


def test_two_replicas_serve_the_same_and_one_leads(client: k8s.ApiClient, namespace: str) -> None:
    one, two = Replica(client, namespace, "one"), Replica(client, namespace, "two")
    for _ in range(2):
        one.keeper.tick(now())
        two.keeper.tick(now())
    assert one.certificate == two.certificate
    lease: Any = k8s.CoordinationV1Api(client).read_namespaced_lease(SECRET, namespace)
    assert lease.spec.holder_identity == "one"


def test_six_weeks_of_rotation_is_followed_by_both(client: k8s.ApiClient, namespace: str) -> None:
    one, two = Replica(client, namespace, "one"), Replica(client, namespace, "two")
    start = now()
    looks = itertools.product(range(0, 45, 2), range(0, 20, 5))
    for at in (start + datetime.timedelta(days=days, seconds=seconds) for days, seconds in looks):
        one.keeper.tick(at)
        # The other replica and the API server must agree although the leader has already taken its step.
        if two.served:
            assert all(trusts(split(bundle), two.certificate, at, NAME) for bundle in bundles(client))
        two.keeper.tick(at)
    assert len({pair.certificate for pair, _ in one.served}) >= 6
    assert len({ca for _, ca in one.served}) >= 2
    assert one.certificate == two.certificate


def test_time_in_which_the_leader_saw_nothing_does_not_count(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    start = now()
    for seconds in (0, 5, 10):
        replica.keeper.tick(start + datetime.timedelta(seconds=seconds))
    late = start + datetime.timedelta(days=25)
    for seconds in (0, 5):
        replica.keeper.tick(late + datetime.timedelta(seconds=seconds))
    assert len(split(bundles(client)[0])) == 2, "a new authority is published"
    before = replica.certificate
    cut_off = late + datetime.timedelta(hours=1)
    replica.keeper.tick(cut_off)
    assert replica.certificate == before
    for seconds in (5, 10):
        replica.keeper.tick(cut_off + datetime.timedelta(seconds=seconds))
    assert replica.certificate != before, "it signs once it was seen published long enough"


@pytest.mark.parametrize("harm", ["delete", "garbage", "empty"])
def test_a_harmed_secret_is_written_again(client: k8s.ApiClient, namespace: str, harm: str) -> None:
    core = k8s.CoreV1Api(client)
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.keeper.tick(now())
    before = replica.certificate
    if harm == "delete":
        core.delete_namespaced_secret(SECRET, namespace)
    else:
        data = {"tls.crt": "Z2FyYmFnZQ==", "state.json": "W10="} if harm == "garbage" else {"state.json": ""}
        core.patch_namespaced_secret(SECRET, namespace, {"data": data})
    replica.keeper.tick(now())
    newcomer = Replica(client, namespace, "two")
    newcomer.keeper.tick(now())
    assert newcomer.certificate == before, "what is served stays, and newcomers serve the same"


def test_an_edited_ca_bundle_is_repaired(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    for _ in range(2):
        replica.keeper.tick(now())
    good = bundles(client)
    hooks = k8s.AdmissionregistrationV1Api(client)
    operations = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    hooks.patch_mutating_webhook_configuration(CONFIGURATION, operations)
    assert bundles(client) != good
    replica.keeper.tick(now())
    assert bundles(client) == good


def test_a_new_installation_keeps_old_replicas_trusted(client: k8s.ApiClient, namespace: str) -> None:
    old = Replica(client, namespace, "old")
    for _ in range(2):
        old.keeper.tick(now())
    k8s.CoreV1Api(client).delete_namespaced_secret(SECRET, namespace)
    k8s.CoordinationV1Api(client).delete_namespaced_lease(SECRET, namespace)
    new = Replica(client, namespace, "new")
    for _ in range(2):
        new.keeper.tick(now())
    assert new.certificate != old.certificate
    for bundle in bundles(client):
        assert trusts(split(bundle), old.certificate, now(), NAME)
        assert trusts(split(bundle), new.certificate, now(), NAME)


def test_without_a_configuration_nothing_is_served(client: k8s.ApiClient, namespace: str) -> None:
    replica = Replica(client, namespace, "one")
    replica.keeper._place = Place(namespace, SECRET, ("no-such-configuration",), "one")
    for _ in range(3):
        replica.keeper.tick(now())
    assert not replica.served
