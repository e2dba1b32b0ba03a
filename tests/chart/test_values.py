"""Values that are null, belong to an umbrella chart, or name things: every outcome is a valid object or a sentence."""

import json
from collections.abc import Iterator

import pytest
import yaml

from tests import yamls
from tests.chart.rendering import (
    CHART,
    CHART_VALUES,
    FULLNAME,
    NAMESPACE,
    Object,
    helm,
    of_kind,
    one,
    render,
    rendering_error,
    values,
)
from webhook.settings.parse import KEYS, parse

pytestmark = pytest.mark.e2e  # helm comes with the control plane

DEFAULTS = yaml.safe_load(CHART_VALUES.read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _paths(tree: Object, schema: Object, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The path of every value that the schema lists, and whether the schema requires the value."""
    for key in schema.get("properties", {}).keys() & tree.keys():
        yield (*prefix, key), key in schema.get("required", ())
        if isinstance(tree[key], dict):
            yield from _paths(tree[key], schema["properties"][key], (*prefix, key))


PATHS = dict(_paths(DEFAULTS, SCHEMA))
NULLABLE = sorted(".".join(path) for path, is_required in PATHS.items() if not is_required)
# The other value of the pair must be set.
DEPENDENT = "podDisruptionBudget.maxUnavailable"


@pytest.mark.parametrize("name", NULLABLE)
def test_a_value_that_is_not_required_may_be_null(name):
    options = values(podDisruptionBudget__minAvailable="50%") if name == DEPENDENT else []
    assert one("Deployment", render(*options, *values(**{name: None})))


def test_every_other_null_is_rejected_by_name():
    required = [path for path, is_required in PATHS.items() if is_required]
    assert len(required) > 100
    leaves = [path for path in required if not any(other[: len(path)] == path != other for other in required)]
    error = rendering_error(*values(**{".".join(path): None for path in leaves}))
    assert [path for path in leaves if path[-1] not in error] == []


@pytest.mark.parametrize(
    ("resources", "limits", "requests"),
    [
        ({"limits": {"cpu": None}}, ("0", "1Gi"), ("100m", "100Mi")),
        ({"limits": None}, ("0", "0"), ("100m", "100Mi")),
        ({"requests": {"memory": None}}, ("1", "1Gi"), ("100m", "0")),
    ],
)
def test_resources_of_the_init_container_can_be_removed(resources, limits, requests):
    objects = render(*values(storageInitializer__resources=resources))
    settings, warnings = parse(one("ConfigMap", objects)["data"])
    initializer = settings.storage_initializer
    assert warnings == []
    assert (initializer.cpu_limit, initializer.memory_limit) == limits
    assert (initializer.cpu_request, initializer.memory_request) == requests


@pytest.fixture
def umbrella(tmp_path):
    """The directory of a chart that depends on this one, under a condition."""
    dependency = {
        "name": CHART.name,
        "version": yaml.safe_load((CHART / "Chart.yaml").read_text())["version"],
        "repository": CHART.as_uri(),
        "condition": f"{CHART.name}.enabled",
    }
    chart = {"apiVersion": "v2", "name": "platform", "version": "0.1.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    updated = helm("dependency", "update", tmp_path)
    assert updated.returncode == 0, updated.stderr
    return tmp_path


def test_umbrella_chart_enables_sets_and_removes_values(umbrella):
    limits = {"resources": {"limits": {"cpu": None}}}
    subchart = {"enabled": True, "storageInitializer": limits}
    options = values(**{CHART.name: subchart, "global": {"imageRegistry": "registry.example.com"}})
    run = helm("template", "platform", umbrella, "--namespace", NAMESPACE, *options)
    assert run.returncode == 0, run.stderr
    objects = yamls.documents(run.stdout)
    assert _image(objects).startswith("registry.example.com/storage-initializer-webhook:")
    settings, _ = parse(one("ConfigMap", objects)["data"])
    assert settings.storage_initializer.cpu_limit == "0"


def test_umbrella_chart_disables_the_chart(umbrella):
    run = helm("template", "platform", umbrella, *values(**{CHART.name: {"enabled": False}}))
    assert (run.returncode, yamls.documents(run.stdout)) == (0, [])


def test_disabled_chart_is_not_installed_by_itself():
    assert "enabled is false" in rendering_error(*values(enabled=False))


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("storage-webhook", "storage-webhook"),
        ("my.storage-webhook", "my-storage-webhook"),
        ("1st", "webhook-1st-storage-initializer-webhook"),
        ("my.release", "my-release-storage-initializer-webhook"),
        ("2024", "webhook-2024-storage-initializer-webhook"),
        ("a" * 53, f"{'a' * 52}"),
        (f"1.{'a' * 41}.b", f"webhook-1-{'a' * 41}"),
    ],
)
def test_every_release_name_gives_the_name_of_a_service(release, name):
    run = helm("template", release, CHART, "--namespace", NAMESPACE)
    assert run.returncode == 0, run.stderr
    objects = yamls.documents(run.stdout)
    assert one("Service", objects)["metadata"]["name"] == name
    assert one("Service", objects)["spec"]["selector"]["app.kubernetes.io/instance"] == release


@pytest.mark.parametrize("name", ["models.v1", "1st", "456", "Models", "models-", "m" * 53])
def test_full_name_that_is_no_service_name_is_rejected(name):
    assert f'fullnameOverride is "{name}", which a Service cannot be named' in rendering_error(
        *values(fullnameOverride=name)
    )


def test_name_that_is_no_label_is_rejected():
    assert 'nameOverride is "my models", which cannot be a label' in rendering_error(*values(nameOverride="my models"))


@pytest.mark.parametrize("mode", ["self-signed", "self-managed", "cert-manager"])
def test_namespace_can_be_overridden(mode):
    managed = values(certificates__selfManaged={"admissionPolicies": "always", "removeWithNamespace": True})
    objects = render(*values(namespaceOverride="models", certificates__mode=mode), *managed)
    namespaces = {each["metadata"].get("namespace") for each in objects if each["kind"] != "Pod"}
    assert NAMESPACE not in json.dumps(objects)
    assert namespaces == {None, "models", "default"}  # `default` has the role of `helm test`
    configuration = one("MutatingWebhookConfiguration", objects)
    assert configuration["webhooks"][0]["clientConfig"]["service"]["namespace"] == "models"


@pytest.mark.parametrize(
    ("registry", "image", "expected"),
    [
        ("registry.example.com/mirror", "webhook", "registry.example.com/mirror/webhook"),
        ("registry.example.com/", "team/webhook", "registry.example.com/team/webhook"),
        ("registry.example.com", "other.example.com/webhook", "other.example.com/webhook"),
        ("registry.example.com", "localhost/webhook", "localhost/webhook"),
        ("registry.example.com", "host:5000/webhook", "host:5000/webhook"),
        ("", "webhook", "webhook"),
    ],
)
def test_global_registry_is_for_images_without_one(registry, image, expected):
    options = values(global__imageRegistry=registry, image__repository=image, storageInitializer__image=f"{image}:1")
    objects = render(*options)
    assert _image(objects).rpartition(":")[0] == expected
    settings, _ = parse(one("ConfigMap", objects)["data"])
    assert settings.storage_initializer.image == f"{expected}:1"


def test_pull_secrets_of_the_chart_and_of_the_umbrella_chart_are_used():
    given = {"imagePullSecrets": [{"name": "own"}], "global": {"imagePullSecrets": ["shared", {"name": "own"}]}}
    objects = render(*values(**given))
    pods = [one("Deployment", objects)["spec"]["template"], *(each for each in objects if each["kind"] == "Pod")]
    assert [pod["spec"]["imagePullSecrets"] for pod in pods] == [[{"name": "own"}, {"name": "shared"}]] * 2


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("commonLabels", "app.kubernetes.io/name"),
        ("commonLabels", "helm.sh/chart"),
        ("podLabels", "app.kubernetes.io/instance"),
        ("service.labels", "app.kubernetes.io/managed-by"),
        ("serviceAccount.labels", "app.kubernetes.io/version"),
        ("metrics.serviceMonitor.labels", "app.kubernetes.io/name"),
    ],
)
def test_labels_that_the_chart_sets_are_rejected_by_name(value, label):
    assert f"{value} has the label {label}, which the chart sets" in rendering_error(*values(**{value: {label: "x"}}))


def test_labels_and_annotations_reach_their_objects():
    given = {
        "commonLabels": {"team": "a", "tier": "common"},
        "commonAnnotations": {"note": "common"},
        "deploymentAnnotations": {"note": "own"},
        "service.labels": {"tier": "service"},
        "serviceAccount.labels": {"tier": "account"},
    }
    objects = render(*values(**given))
    assert all(each["metadata"]["labels"]["team"] == "a" for each in objects)
    tiers = [one(kind, objects)["metadata"]["labels"]["tier"] for kind in ("Service", "ServiceAccount", "ConfigMap")]
    assert tiers == ["service", "account", "common"]
    assert one("Deployment", objects)["metadata"]["annotations"] == {"note": "own"}
    assert one("Service", objects)["metadata"]["annotations"] == {"note": "common"}


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        ({"storageDefaults": {"mode": "observe"}}, "storageDefaults.mode"),
        ({"storageInitializer": {"image": "x:1"}}, "storageInitializer.image"),
        ({"storageInitializer": {"resources": {"limits": {"cpu": None}}}}, "storageInitializer.resources.limits.cpu"),
        ({"storageDefaults": {"cache": {"a": "pvc://b"}}}, "storageDefaults.cache.a"),
        ({"storageDefaults": {"singleFile": [".gguf"]}}, "storageDefaults.singleFile"),
        ({"credentials": {"s3": {"s3Region": "x"}}}, "credentials.s3.s3Region"),
        ({"deploy": {"defaultDeploymentMode": "Standard"}}, "deploy.defaultDeploymentMode"),
        ({"storageContainers": [{"name": "a", "container": {"image": "a:1"}}]}, "storageContainers"),
    ],
)
def test_settings_that_an_existing_configmap_replaces_are_rejected_by_name(settings, unused):
    message = f"existingConfigMap.name is set, so the webhook would not use {unused}: set it in ConfigMap mine"
    assert message in rendering_error(*values(existingConfigMap={"name": "mine"}, **settings))


def test_permissions_and_repeated_defaults_go_with_an_existing_configmap():
    settings = {key: DEFAULTS[key] for key in KEYS}
    permissions = values(credentials__enabled=False, storageDefaults__claims__read=True)
    objects = render(*values(existingConfigMap={"name": "mine"}, **settings), *permissions)
    assert of_kind("ConfigMap", objects) == []


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, "Fail"),
        ({"storageDefaults.mode": "observe"}, "Ignore"),
        ({"storageDefaults.mode": "observe", "webhook.failurePolicy": "Fail"}, "Fail"),
        ({"webhook.failurePolicy": "Ignore"}, "Ignore"),
        ({"existingConfigMap.name": "mine"}, "Fail"),
    ],
)
def test_a_webhook_that_only_observes_blocks_nothing(given, policy):
    configuration = one("MutatingWebhookConfiguration", render(*values(deployments__enabled=True, **given)))
    assert [webhook["failurePolicy"] for webhook in configuration["webhooks"]] == [policy] * 2


def test_extra_objects_are_templates():
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n"
    mapping = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": '{{ include "storage-webhook.fullname" . }}-map'},
    }
    objects = render(*values(extraObjects=[text, mapping]))
    names = {each["metadata"]["name"] for each in objects}
    assert {f"{FULLNAME}-text", f"{FULLNAME}-map"} <= names


def _image(objects: list[Object]) -> str:
    (container,) = one("Deployment", objects)["spec"]["template"]["spec"]["containers"]
    return str(container["image"])
