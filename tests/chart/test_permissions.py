"""Permissions of the rendered chart, and the policies that narrow them."""

import pytest

from tests.chart.rendering import NAMESPACE, of_kind, one, render, values

pytestmark = pytest.mark.e2e  # helm comes with the control plane

CERT_MANAGER = values(certificates__mode="cert-manager")
SELF_SIGNED = values(certificates__mode="self-signed")
HAS_POLICIES = ["--api-versions=admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"]


@pytest.fixture(scope="module")
def defaults():
    return render()


@pytest.fixture(scope="module")
def self_signed():
    return render(*SELF_SIGNED)


def test_reading_secrets_depends_on_credentials():
    assert "secrets" in _readable(render(*SELF_SIGNED))
    assert "secrets" not in _readable(render(*SELF_SIGNED, *values(credentials__enabled=False)))
    assert "serviceaccounts" not in _readable(render(*values(credentials__enabled=False)))


def test_reading_claims_depends_on_the_settings():
    assert "persistentvolumeclaims" not in _readable(render())
    assert "persistentvolumeclaims" in _readable(render(*values(storageDefaults__claims__read=True)))


def test_namespaces_get_roles():
    objects = render(*SELF_SIGNED, *values(namespaces=["team-a", "team-b"]))
    assert of_kind("ClusterRole", objects) == []
    assert {role["metadata"]["namespace"] for role in of_kind("Role", objects)} == {NAMESPACE, "team-a", "team-b"}


def test_storage_containers_can_be_read_with_namespaces():
    objects = render(*SELF_SIGNED, *values(namespaces=["team-a"], rbac__storageContainers="always"))
    (rule,) = one("ClusterRole", objects)["rules"]
    assert rule["resources"] == ["clusterstoragecontainers"]


def test_without_self_managed_certificates_nothing_can_be_written(self_signed):
    assert {verb for rule in _rules(self_signed) for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_only_certificates_can_be_written_by_default(defaults):
    written = [rule for rule in _rules(defaults) if {"patch", "update", "delete"} & set(rule["verbs"])]
    assert {resource for rule in written for resource in rule["resources"]} == {
        "secrets",
        "leases",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }
    assert all(rule["resourceNames"] for rule in written)
    created = [rule for rule in _rules(defaults) if "create" in rule["verbs"]]
    assert {resource for rule in created for resource in rule["resources"]} == {"secrets", "leases"}


def test_events_need_permission_and_are_a_side_effect():
    objects = render(*SELF_SIGNED, *values(events=True))
    assert [rule["resources"] for rule in _rules(objects) if "create" in rule["verbs"]] == [["events"]]
    (webhook,) = one("MutatingWebhookConfiguration", objects)["webhooks"]
    assert webhook["sideEffects"] == "NoneOnDryRun"


@pytest.mark.parametrize(
    ("setting", "options", "shipped"),
    [
        ("auto", [], False),
        ("auto", HAS_POLICIES, True),
        ("always", [], True),
        ("never", HAS_POLICIES, False),
    ],
)
def test_admission_policies_are_shipped_where_the_cluster_has_the_kind(setting, options, shipped):
    objects = render(*options, *values(certificates__selfManaged__admissionPolicies=setting))
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    assert [len(of_kind(kind, objects)) for kind in kinds] == [2 * shipped] * 2


@pytest.mark.parametrize("options", [CERT_MANAGER, SELF_SIGNED], ids=lambda options: options[-1])
def test_no_admission_policies_if_the_webhook_may_not_write(options):
    objects = render(*HAS_POLICIES, *options)
    assert of_kind("ValidatingAdmissionPolicy", objects) == []


def test_admission_policies_are_bound_to_the_service_account_of_the_pods():
    objects = render(*HAS_POLICIES, *values(serviceAccount__create=False, serviceAccount__name="mine"))
    account = one("Deployment", objects)["spec"]["template"]["spec"]["serviceAccountName"]
    policies = of_kind("ValidatingAdmissionPolicy", objects)
    for (condition,) in (policy["spec"]["matchConditions"] for policy in policies):
        assert condition["expression"] == f"request.userInfo.username == 'system:serviceaccount:{NAMESPACE}:{account}'"
    bindings = [binding["spec"] for binding in of_kind("ValidatingAdmissionPolicyBinding", objects)]
    names = [policy["metadata"]["name"] for policy in policies]
    assert bindings == [{"policyName": name, "validationActions": ["Deny"]} for name in names]


def _rules(objects):
    return [rule for kind in ("Role", "ClusterRole") for role in of_kind(kind, objects) for rule in role["rules"]]


def _readable(objects):
    return {resource for rule in _rules(objects) for resource in rule["resources"]}
