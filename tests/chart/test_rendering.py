"""Rendered objects of the chart, without a cluster."""

import base64
import re
import ssl
import time

import pytest
import yaml
from cryptography import x509
from typer.main import get_group
from typer.testing import CliRunner

from tests import yamls
from tests.chart.rendering import (
    CHART,
    FULLNAME,
    NAMESPACE,
    VALUE_SETS,
    helm,
    is_hook,
    of_kind,
    one,
    render,
    rendering_error,
    values,
)
from webhook.admission.workloads import TEMPLATES
from webhook.certificates.tls import load_pem
from webhook.cli.app import app
from webhook.settings.model import EMBEDDED
from webhook.settings.parse import parse

pytestmark = pytest.mark.e2e  # helm comes with the control plane

KSERVES_WEBHOOK = "inferenceservice.serving.kserve.io"
CERT_MANAGER = values(certificates__mode="cert-manager")
SELF_SIGNED = values(certificates__mode="self-signed")
EXISTING = values(certificates__mode="existing", certificates__existing__secretName="mine")
PRIVATE = "EC PRIVATE KEY"
PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def defaults():
    return render()


@pytest.fixture(scope="module")
def self_signed():
    return render(*SELF_SIGNED)


@pytest.mark.parametrize("path", [None, *VALUE_SETS], ids=lambda path: path.name if path else "defaults")
def test_lint_passes(path):
    run = helm("lint", "--strict", CHART, "--namespace", NAMESPACE, *(["--values", path] if path else []))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", [None, *VALUE_SETS], ids=lambda path: path.name if path else "defaults")
def test_settings_and_options_are_valid(path):
    objects = render(*(["--values", path] if path else []))
    for settings in (found for found in of_kind("ConfigMap", objects) if "storageInitializer" in found.get("data", {})):
        checked = _run("check-settings", "--strict", text=yaml.safe_dump(settings))
        assert checked.exit_code == 0, checked.output
    command, *options = _arguments(objects)
    with get_group(app).commands[command].make_context(command, options):
        pass  # fails for unknown options and invalid values


def test_default_settings_equal_the_embedded_ones(defaults):
    settings, _ = parse(one("ConfigMap", defaults)["data"])
    assert settings == EMBEDDED
    assert re.fullmatch(r"kserve/storage-initializer:v\d+\.\d+\.\d+", settings.storage_initializer.image)


def test_empty_lists_are_kept():
    objects = render(*values(storageDefaults__allowReadWrite=[], storageDefaults__singleFile=[]))
    settings, _ = parse(one("ConfigMap", objects)["data"])
    assert settings.storage_defaults.allow_read_write == ()
    assert settings.storage_defaults.single_file == ()


def test_new_settings_change_only_the_configmap():
    image = values(storageInitializer__image="registry.example.com/initializer:1")
    assert _changed(render(), render(*image)) == ["ConfigMap"]


def test_existing_configmap_is_used():
    objects = render("--values", CHART / "ci" / "kserve-values.yaml")
    assert of_kind("ConfigMap", objects) == []
    assert "--settings=configmap:kserve/inferenceservice-config" in _arguments(objects)
    (role,) = (each for each in of_kind("Role", objects) if each["metadata"]["namespace"] == "kserve")
    assert role["rules"][0]["resourceNames"] == ["inferenceservice-config"]


@pytest.mark.parametrize(
    ("setting", "typo"),
    [
        ({"storageIntializer__image": "x"}, "storageIntializer"),
        ({"storageDefaults__readonly": True}, "readonly"),
        ({"credentials__s3__endpoint": "x"}, "endpoint"),
        ({"webhook__failurepolicy": "Fail"}, "failurepolicy"),
        ({"image__repo": "x"}, "repo"),
        ({"webhook__failurePolicy": "Retry"}, "failurePolicy"),
        ({"storageInitializer__resources__limits__memory": "1GB"}, "memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unknown_and_invalid_values_are_rejected_by_name(setting, typo):
    assert typo in rendering_error(*values(**setting))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"existingConfigMap__namespace": "kserve"}, "existingConfigMap.name is not"),
        ({"storageDefaults__claims__deny": True}, "claims must be read before pods can be denied"),
        ({"namespaces": ["kube-system"]}, 'namespaces names "kube-system", which is never served'),
        ({"namespaces": [NAMESPACE]}, "or install the webhook into another namespace"),
        ({"namespaces": ["a"], "excludedNamespaces": ["a"]}, 'namespaces names "a"'),
        ({"namespaces": ["a"], "test__namespace": "b"}, 'test.namespace is "b", which is not served'),
        ({"test__namespace": NAMESPACE}, "the test's pod would not be injected"),
        ({"certificates__mode": "existing"}, "certificates.existing.secretName is empty"),
        (
            {"certificates__mode": "existing", "certificates__existing__secretName": "mine"},
            "certificates.existing.caBundle is empty",
        ),
        ({"certificates__existing__secretName": "mine"}, "certificates.mode is self-managed"),
        ({"certificates__selfManaged__days": 800}, "a CA must be valid for longer than the certificates that it signs"),
        ({"certificates__certManager__issuerRef__name": "ca"}, "set the mode to cert-manager"),
        ({"certificates__existing__caBundle": "-----BEGIN " + "PRIVATE KEY-----"}, "certificates.existing is set"),
        ({"serviceAccount__create": False}, "serviceAccount.name is empty"),
        ({"metrics__port": 8443}, "metrics.port and port are both 8443"),
        ({"metrics__port": 443}, "metrics.port and service.port are both 443"),
        ({"metrics__enabled": False, "metrics__serviceMonitor__enabled": True}, "there would be nothing to scrape"),
        ({"terminationGracePeriodSeconds": 5}, "is not more than drainSeconds"),
        ({"autoscaling__enabled": True, "autoscaling__minReplicas": 9}, "is more than autoscaling.maxReplicas"),
        ({"autoscaling__enabled": True, "resources__requests__cpu": None}, "resources.requests.cpu is not set"),
        ({"podDisruptionBudget__minAvailable": 1}, "exactly one of minAvailable and maxUnavailable"),
        (
            {"podDisruptionBudget__minAvailable": 2, "podDisruptionBudget__maxUnavailable": None},
            "nodes that run them could not be drained",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_contradictory_values_are_rejected_with_a_message(settings, message):
    assert message in rendering_error(*values(**settings))


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        (f"{PEM}-----BEGIN {PRIVATE}-----\n", "contains a private key"),
        (base64.b64encode(PEM.encode()).decode(), "is not PEM text"),
    ],
)
def test_invalid_ca_bundle_is_rejected(bundle, message):
    assert message in rendering_error(*EXISTING, *values(certificates__existing__caBundle=bundle))


def test_numeric_names_stay_strings():
    run = helm("template", "123", CHART, "--namespace", "2024", *values(fullnameOverride="456", namespaces=["789"]))
    metadata = [each["metadata"] for each in yamls.documents(run.stdout)]
    texts = [(each["name"], each.get("namespace", ""), *each["labels"].values()) for each in metadata]
    assert all(isinstance(text, str) for each in texts for text in each)


def test_webhook_is_called_before_kserve(defaults):
    assert one("MutatingWebhookConfiguration", defaults)["metadata"]["name"] < KSERVES_WEBHOOK


def test_self_signed_certificate_matches_the_service_and_the_ca_bundle(self_signed):
    secret = {key: base64.b64decode(value) for key, value in one("Secret", self_signed)["data"].items()}
    (webhook,) = one("MutatingWebhookConfiguration", self_signed)["webhooks"]
    authority = x509.load_pem_x509_certificate(base64.b64decode(webhook["clientConfig"]["caBundle"]))
    certificate = x509.load_pem_x509_certificate(secret["tls.crt"])
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"{FULLNAME}.{NAMESPACE}.svc" in names.get_values_for_type(x509.DNSName)
    assert set(secret) == {"ca.crt", "tls.crt", "tls.key"}


def test_all_webhooks_have_the_same_self_signed_ca():
    objects = render(*SELF_SIGNED, *values(deployments__enabled=True))
    webhooks = [
        webhook
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        for webhook in one(kind, objects)["webhooks"]
    ]
    assert len(webhooks) == 4
    assert {webhook["clientConfig"]["caBundle"] for webhook in webhooks} == {one("Secret", objects)["data"]["ca.crt"]}


def test_self_signed_certificate_can_be_loaded(self_signed):
    data = {key: base64.b64decode(value) for key, value in one("Secret", self_signed)["data"].items()}
    valid_until = load_pem(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), data["tls.crt"], data["tls.key"])
    assert valid_until > time.time()


def test_cert_manager_injects_the_ca():
    objects = render(*CERT_MANAGER)
    configuration = one("MutatingWebhookConfiguration", objects)
    serving = of_kind("Certificate", objects)[-1]["metadata"]
    injected = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert injected == f"{NAMESPACE}/{serving['name']}"
    assert "caBundle" not in configuration["webhooks"][0]["clientConfig"]
    assert of_kind("Secret", objects) == []


@pytest.mark.parametrize("settings", [True, False])
@pytest.mark.parametrize("workloads", [True, False])
def test_each_validation_has_its_own_switch(settings, workloads):
    objects = render(*values(validateSettings=settings, validateWorkloads=workloads))
    paths = [
        webhook["clientConfig"]["service"]["path"]
        for configuration in of_kind("ValidatingWebhookConfiguration", objects)
        for webhook in configuration["webhooks"]
    ]
    assert paths == ["/validate-settings"] * settings + ["/validate-workloads"] * workloads


def test_advice_on_workloads_blocks_nothing_and_has_no_side_effect():
    objects = render(*values(events=True, webhook__failurePolicy="Fail", namespaces=["team-a"]))
    (webhook,) = _workload_webhooks(objects)
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Ignore", "None")
    (pods,) = one("MutatingWebhookConfiguration", objects)["webhooks"]
    assert webhook["namespaceSelector"] == pods["namespaceSelector"]


def test_advice_on_workloads_is_for_every_kind_that_the_webhook_knows(defaults):
    (webhook,) = _workload_webhooks(defaults)
    rules = [(rule["apiGroups"], rule["resources"]) for rule in webhook["rules"]]
    registered = {(group, resource) for (group,), resources in rules for resource in resources}
    assert registered == {(group, f"{kind.lower()}s") for group, kind in TEMPLATES}


def test_network_policy_allows_the_served_ports():
    objects = render(*values(networkPolicy__enabled=True, port=10443, metrics__port=9999))
    ingress = one("NetworkPolicy", objects)["spec"]["ingress"]
    assert [port["port"] for rule in ingress for port in rule["ports"]] == [10443, 9999]
    (container,) = one("Deployment", objects)["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [10443, 9999]


def test_network_policy_allows_everyone_unless_peers_are_named():
    objects = render(*values(networkPolicy__enabled=True))
    assert [rule.get("from") for rule in _ingress(objects)] == [None, None]


def test_network_policy_names_the_peers_of_each_port():
    api_server = [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    prometheus = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    peers = {"networkPolicy__webhookFrom": api_server, "networkPolicy__metricsFrom": prometheus}
    objects = render(*values(networkPolicy__enabled=True, **peers))
    assert [rule["from"] for rule in _ingress(objects)] == [api_server, prometheus]


@pytest.mark.parametrize("value", ["webhookFrom", "metricsFrom"])
@pytest.mark.parametrize(
    "peer",
    [
        {},
        {"cidr": "10.0.0.1/32"},
        {"ipBlock": {"cidr": "10.0.0.1"}},
        {"ipBlock": {"cidr": "10.0.0.1/32"}, "podSelector": {}},
    ],
)
def test_invalid_peers_are_rejected_by_name(value, peer):
    # An empty or misspelt peer would let nobody in, or everybody.
    assert value in rendering_error(*values(**{f"networkPolicy__{value}": [peer]}))


def test_service_does_not_select_the_test_pod(defaults):
    selector = one("Service", defaults)["spec"]["selector"].items()
    (pod,) = (each for each in defaults if each["kind"] == "Pod")
    assert is_hook(pod)
    assert not selector <= pod["metadata"]["labels"].items()
    assert selector <= one("Deployment", defaults)["spec"]["template"]["metadata"]["labels"].items()


def test_without_a_served_namespace_there_is_no_helm_test():
    assert not any(map(is_hook, render(*values(excludedNamespaces=["default"]))))


def _run(*arguments, text=None):
    return CliRunner().invoke(app, list(arguments), input=text)


def _arguments(objects):
    (container,) = one("Deployment", objects)["spec"]["template"]["spec"]["containers"]
    return container["args"]


def _ingress(objects):
    return one("NetworkPolicy", objects)["spec"]["ingress"]


def _workload_webhooks(objects):
    (configuration,) = of_kind("ValidatingWebhookConfiguration", objects)
    return [each for each in configuration["webhooks"] if each["name"] == "workloads.storage.kserve.io"]


def _changed(before, after):
    return [old["kind"] for old, new in zip(before, after, strict=True) if old != new]
