"""The webhook as the chart installs it: arguments, permissions and registration."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
import trustme

from tests.chart.rendering import one, render, values
from tests.mutation import JsonObject
from webhook.doctor import kserve, registration
from webhook.doctor.connection import check_certificate
from webhook.doctor.installation import check_installation, find_installation, namespace_of
from webhook.doctor.permissions import Access, needed, served_namespaces
from webhook.doctor.registration import Endpoint, check_ca_bundle, endpoints
from webhook.doctor.report import Result
from webhook.settings.model import EMBEDDED
from webhook.settings.parse import parse

pytestmark = pytest.mark.e2e  # helm comes with the control plane

NOW = datetime.datetime.now(datetime.UTC)


def bundle(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


@pytest.fixture(scope="module")
def objects() -> list[JsonObject]:
    return render(*values(certificates__mode="self-managed", namespaces=["team-a", "team-b"], events=True))


def test_the_charts_deployment_is_found(objects: list[JsonObject]) -> None:
    deployment = one("Deployment", objects)
    other = {
        "metadata": {"name": "other"},
        "spec": {"template": {"spec": {"containers": [{"args": ["--settings=a"]}]}}},
    }
    found = find_installation([other, deployment])
    assert found is not None
    assert found.deployment == deployment["metadata"]["name"]
    assert found.settings is not None
    config_map = one("ConfigMap", objects)["metadata"]
    assert found.settings == (config_map["namespace"], config_map["name"])
    assert found.service_account == one("ServiceAccount", objects)["metadata"]["name"]
    assert namespace_of(one("MutatingWebhookConfiguration", objects)) == found.namespace
    assert find_installation([other]) is None


@pytest.mark.parametrize(
    ("ready", "result"), [(0, Result.BROKEN), (1, Result.WARNING), (2, Result.WORKS)], ids=["none", "one", "all"]
)
def test_replicas_must_be_ready(objects: list[JsonObject], ready: int, result: Result) -> None:
    deployment = one("Deployment", objects)
    spec = {**deployment["spec"], "replicas": 2}
    found = find_installation([{**deployment, "spec": spec, "status": {"readyReplicas": ready}}])
    assert found is not None
    (check,) = check_installation(found)
    assert check.result == result
    assert f"{ready} of 2 replicas" in check.detail


def _granted(objects: list[JsonObject], access: Access) -> bool:
    """Whether the chart's roles allow it, in a namespace or everywhere."""
    for role in objects:
        if role["kind"] not in ("Role", "ClusterRole") or (
            role["kind"] == "Role" and role["metadata"]["namespace"] != access.namespace
        ):
            continue
        for rule in role["rules"]:
            names = rule.get("resourceNames")
            if (
                access.group in rule["apiGroups"]
                and access.resource in rule["resources"]
                and access.verb in rule["verbs"]
                and (names is None or access.name in names)
            ):
                return True
    return False


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"certificates__mode": "self-managed", "namespaces": ["team-a", "team-b"], "events": True},
        {"credentials__enabled": False, "storageDefaults__claims__read": True, "audit__everySeconds": 600},
        {"rbac__storageContainers": "always"},
    ],
)
def test_the_chart_grants_what_the_doctor_asks_for(options: dict[str, Any]) -> None:
    objects = render(*values(**options))
    found = find_installation([one("Deployment", objects)])
    assert found is not None
    settings, _ = parse(one("ConfigMap", objects)["data"])
    kinds = {kserve.STORAGE_CONTAINERS} if "namespaces" not in options else set()
    accesses = list(needed(found, settings, served_namespaces(one("MutatingWebhookConfiguration", objects)), kinds))
    assert [each for each in accesses if not _granted(objects, each)] == []
    assert any(each.resource == "serviceaccounts" for each in accesses) is settings.credentials.enabled
    assert any(each.resource == "persistentvolumeclaims" for each in accesses) is settings.storage_defaults.claims.read


def test_permissions_are_asked_for_in_the_served_namespaces(objects: list[JsonObject]) -> None:
    found = find_installation([one("Deployment", objects)])
    assert found is not None
    namespaces = served_namespaces(one("MutatingWebhookConfiguration", objects))
    accesses = needed(found, EMBEDDED, namespaces, set())
    assert {each.namespace for each in accesses if each.resource == "serviceaccounts"} == {"team-a", "team-b"}


def test_the_order_of_the_webhooks() -> None:
    (first,) = kserve.check_order("00-storage-webhook", {kserve.WEBHOOK})
    (second,) = kserve.check_order("storage-webhook", {kserve.WEBHOOK})
    assert (first.result, second.result) == (Result.WORKS, Result.WARNING)
    assert not list(kserve.check_order("storage-webhook", set()))


def test_kinds_of_kserve() -> None:
    assert [each.result for each in kserve.check_kserve(set())] == [Result.UNAVAILABLE]
    (one_of_two, other) = kserve.check_kserve({"inferenceservices"})
    assert (one_of_two.result, other.result) == (Result.WORKS, Result.UNAVAILABLE)


def test_a_failure_policy_that_lets_pods_pass_is_a_warning(objects: list[JsonObject]) -> None:
    configuration = one("MutatingWebhookConfiguration", objects)
    assert [each.result for each in registration.check_failure_policy(configuration)] == [Result.WORKS]
    observing = one("MutatingWebhookConfiguration", render(*values(storageDefaults__mode="observe")))
    assert [each.result for each in registration.check_failure_policy(observing)] == [Result.WARNING]


# --- Certificates -------------------------------------------------------------------------------------------------


def test_one_endpoint_for_webhooks_of_one_service() -> None:
    objects = render(*values(deployments__enabled=True))
    configurations = [one(kind, objects) for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")]
    (endpoint,) = endpoints(*configurations)
    assert endpoint.host.endswith(".svc")
    assert endpoint.is_service


@pytest.mark.parametrize(
    ("ca_bundle", "after", "result", "words"),
    [
        ("", 0, Result.BROKEN, "empty"),
        ("?", 0, Result.BROKEN, "not certificates in PEM"),
        (bundle(b"hello"), 0, Result.BROKEN, "not certificates in PEM"),
        (bundle(b"\xff"), 0, Result.BROKEN, "not certificates in PEM"),
        (None, 0, Result.WORKS, "valid until"),
        (None, -40_000, Result.BROKEN, "no certificate is valid now"),
    ],
)
def test_the_ca_bundle_must_be_valid(ca_bundle: str | None, after: int, result: Result, words: str) -> None:
    if ca_bundle is None:
        ca_bundle = bundle(trustme.CA().cert_pem.bytes())
    check = check_ca_bundle(Endpoint("a.b.svc", 443, ca_bundle, True), NOW + datetime.timedelta(days=after))
    assert check.result == result
    assert words in check.detail


def test_a_certificate_that_ends_soon_is_a_warning() -> None:
    assert registration.validity(NOW + datetime.timedelta(days=13), NOW)[0] == Result.WARNING
    assert registration.validity(NOW + datetime.timedelta(days=15), NOW)[0] == Result.WORKS


def test_the_serving_certificate_is_verified_as_by_the_api_server(running: Any, authority: Any, stranger: Any) -> None:
    trusted, foreign = bundle(authority.pem), bundle(stranger.pem)
    here = ("127.0.0.1", running.port)
    works = Endpoint("127.0.0.1", running.port, trusted, False)
    assert check_certificate(works, None, NOW).result == Result.WORKS
    unknown_ca = check_certificate(works._replace(ca_bundle=foreign), None, NOW)
    assert unknown_ca.result == Result.BROKEN
    assert "not trusted by the API server" in unknown_ca.detail
    other_name = check_certificate(Endpoint("other.example.svc", 443, trusted, True), here, NOW)
    assert other_name.result == Result.BROKEN
    assert "other.example.svc" in other_name.detail


def test_an_endpoint_that_cannot_be_reached(authority: Any, free_port: int) -> None:
    trusted = bundle(authority.pem)
    service = Endpoint("webhook.does-not-exist.svc", 443, trusted, True)
    assert check_certificate(service, None, NOW).result == Result.UNKNOWN
    assert check_certificate(service, ("127.0.0.1", free_port), NOW).result == Result.BROKEN
    assert check_certificate(Endpoint("127.0.0.1", free_port, trusted, False), None, NOW).result == Result.BROKEN
    assert check_certificate(Endpoint("127.0.0.1", free_port, "?", False), None, NOW).result == Result.BROKEN


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
