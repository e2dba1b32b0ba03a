"""The shared cache's key: pods share a copy only when all that decides its bytes is equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from tests.mutation import decide, initializer, kserve_pod, names
from webhook import annotations as keys
from webhook.admission import pods
from webhook.cluster.facts import PLAIN_KEYS, Facts, PullSecret, Secret, ServiceAccount, StorageEntry
from webhook.cluster.kinds import SERVICE_ACCOUNT, STORAGE_CONFIG
from webhook.cluster.lookups import gather
from webhook.download.inputs import IGNORED_FIELDS, IGNORED_VARIABLES
from webhook.request.model_request import ModelRequest
from webhook.settings.kserve_keys import Credentials
from webhook.settings.model import Settings
from webhook.settings.parse import parse
from webhook.steps.credentials.kinds import KINDS
from webhook.storage_container import StorageContainer, UriFormat

URI = "s3://bucket/iris"
CACHE = {str(keys.CACHE): "pvc://models/cache"}
OVERRIDES = {"storageDefaults": {"overrides": {"image": ["*"]}}}
S3_KEYS = frozenset({"awsAccessKeyID", "awsSecretAccessKey"})
SPEC = {str(keys.STORAGE_SPEC): "true"}


def key_of(
    annotations: dict[str, str] | None = None,
    settings: Any = None,
    facts: Facts | None = None,
    uri: str = URI,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> str:
    """The cache key of a pod, as its server container mounts it."""
    pod = kserve_pod(uri, annotations={**CACHE, **(annotations or {})}, labels=labels, **spec)
    outcome = decide(pod, settings or OVERRIDES, facts=facts or Facts())
    assert outcome.mutated is not None, outcome.message
    init = initializer(outcome.mutated)
    paths = {
        mount["subPath"].rpartition("/")[2]
        for mount in outcome.mutated["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == init["volumeMounts"][0]["name"]
    }
    found = [json.loads(arg)["key"] for arg in init["args"] if arg.startswith('{"')]
    assert found == list(paths)
    return str(paths.pop())


def account(annotations: dict[str, str] | None = None, **secrets: Secret) -> Facts:
    """Facts of a service account with these annotations and Secrets."""
    return Facts(ServiceAccount(annotations or {}, tuple(secrets)), secrets)


def storage_container(name: str = "custom", **fields: Any) -> Facts:
    return Facts(
        storage_containers=(StorageContainer(name, {"command": ["fetch"], **fields}, (UriFormat(prefix="s3://"),)),)
    )


def s3(name: str = "minio", annotations: dict[str, str] | None = None, **plain: str) -> Facts:
    """Facts of an account with an S3 Secret."""
    return account(None, **{name: Secret(S3_KEYS | plain.keys(), annotations or {}, plain)})


# --- The cases of a tenant who takes another's copy -----------------------------------------------------------------


def test_pods_that_read_the_same_uri_with_other_inputs_do_not_share() -> None:
    """The same URI from other endpoints, with other Secrets, images, roles, and decrypted or not."""
    confidential = {str(keys.CONFIDENTIAL_ENABLED): "true"}
    found = [
        key_of(),
        key_of(facts=s3("prod", {keys.S3_ENDPOINT: "s3.prod"})),
        key_of(facts=s3("prod", {keys.S3_ENDPOINT: "s3.dev"})),
        key_of(facts=s3("dev", {keys.S3_ENDPOINT: "s3.dev"})),
        key_of({str(keys.IMAGE): "registry.example.com/decrypting:1"}),
        key_of(confidential),
        key_of({**confidential, str(keys.CONFIDENTIAL_RESOURCE_ID): "kbs:///a"}),
        key_of({**confidential, str(keys.CONFIDENTIAL_RESOURCE_ID): "kbs:///b"}),
        key_of(facts=account({keys.ROLE_ARN: "arn:a"})),
        key_of(facts=account({keys.ROLE_ARN: "arn:b"})),
        key_of(facts=storage_container()),
    ]
    assert len(set(found)) == len(found)


def test_pods_that_agree_share_across_accounts_images_of_the_settings_and_mount_paths() -> None:
    """An upgrade changes the settings' image, and must not download every model again."""
    facts = s3("prod", {keys.S3_ENDPOINT: "s3.prod"})
    found = {
        key_of(facts=facts),
        key_of(facts=facts, serviceAccountName="other"),
        key_of({str(keys.MOUNT_PATH): "/opt/model"}, facts=facts),
        key_of(settings={"storageInitializer": {"image": "kserve/storage-initializer:v9"}}, facts=facts),
        key_of(
            settings={"storageInitializer": {"image": "kserve/storage-initializer:v9"}, **OVERRIDES},
            annotations={str(keys.IMAGE): "kserve/storage-initializer:v9"},
            facts=facts,
        ),
        key_of(facts=facts, labels={"app": "other"}),
    }
    assert len(found) == 1


def test_the_key_of_a_pod_is_stable() -> None:
    """Another key would download every cached model again after an upgrade of the webhook."""
    assert key_of() == "ebea192010a00b9502042de02f4889c3"
    assert key_of(facts=s3("prod", {keys.S3_ENDPOINT: "s3.prod"})) == "eec6793f1067d3f64a2488f5cc990ca4"


# --- Every annotation that the webhook knows ------------------------------------------------------------------------

OF_THE_POD = "about the model's place in the pod, not its bytes"
OF_ROLLOUTS = "about Deployments"
NO_DOWNLOAD = "decides whether anything is downloaded"
RESOURCES = IGNORED_FIELDS["resources"]
ON_OBJECTS = "on Secrets and service accounts: see the tests of facts"

ANNOTATIONS: dict[keys.Key, Any] = {
    keys.URI: ({keys.URI: URI}, {keys.URI: URI + "/v2"}),
    keys.URIS: "pods with several models share no cache",
    keys.MOUNT_PATH: OF_THE_POD,
    keys.CONTAINERS: OF_THE_POD,
    keys.PATH_TYPE: "about claims",
    keys.PVC_MOUNT: "about claims",
    keys.CHECK_PATH: "about claims",
    keys.READ_ONLY: OF_THE_POD,
    keys.IMAGE: ({keys.IMAGE: "a:1"}, {keys.IMAGE: "b:1"}),
    keys.CPU_REQUEST: RESOURCES,
    keys.CPU_LIMIT: RESOURCES,
    keys.MEMORY_REQUEST: RESOURCES,
    keys.MEMORY_LIMIT: RESOURCES,
    keys.EPHEMERAL_STORAGE_REQUEST: RESOURCES,
    keys.EPHEMERAL_STORAGE_LIMIT: RESOURCES,
    keys.CACHE: "each claim and directory is a cache of its own",
    keys.CACHE_MOUNT: "a copy is made of what is in the cache",
    keys.SUPERVISE: "about how the download is watched",
    keys.DOWNLOAD_TIMEOUT: "about how the download is watched",
    keys.STALL_TIMEOUT: "about how the download is watched",
    keys.SHA256: ({}, {keys.SHA256: 64 * "a"}),
    keys.INCLUDE: ({keys.INCLUDE: "a"}, {keys.INCLUDE: "b"}),
    keys.EXCLUDE: ({}, {keys.EXCLUDE: "b"}),
    keys.ENV: ({keys.ENV: '[{"name": "HF_A", "value": "a"}]'}, {keys.ENV: '[{"name": "HF_A", "value": "b"}]'}),
    keys.ENV_FROM_CONTAINER: "its variables count: see below",
    keys.ROLLOUT_STRATEGY: OF_ROLLOUTS,
    keys.PROGRESS_DEADLINE: OF_ROLLOUTS,
    keys.ROLLOUT_APPLIED: OF_ROLLOUTS,
    keys.INJECT: NO_DOWNLOAD,
    keys.INFERENCE_SERVICE: "the service's name is in no download",
    keys.SOURCE_URI: ({keys.SOURCE_URI: URI}, {keys.SOURCE_URI: URI + "/v2"}),
    keys.AGENT: NO_DOWNLOAD,
    keys.STORAGE_SPEC: ({}, {keys.STORAGE_SPEC: "true"}),
    keys.STORAGE_SPEC_KEY: ({**SPEC, keys.STORAGE_SPEC_KEY: "a"}, {**SPEC, keys.STORAGE_SPEC_KEY: "b"}),
    keys.STORAGE_SPEC_PARAM: (
        {**SPEC, keys.STORAGE_SPEC_PARAM: '{"type": "s3", "region": "a"}'},
        {**SPEC, keys.STORAGE_SPEC_PARAM: '{"type": "s3", "region": "b"}'},
    ),
    keys.STORAGE_CONTAINER_NAME: ({keys.STORAGE_CONTAINER_NAME: "a"}, {keys.STORAGE_CONTAINER_NAME: "b"}),
    keys.CONFIDENTIAL_ENABLED: ({}, {keys.CONFIDENTIAL_ENABLED: "true"}),
    keys.CONFIDENTIAL_RESOURCE_ID: (
        {keys.CONFIDENTIAL_ENABLED: "true", keys.CONFIDENTIAL_RESOURCE_ID: "a"},
        {keys.CONFIDENTIAL_ENABLED: "true", keys.CONFIDENTIAL_RESOURCE_ID: "b"},
    ),
    keys.LOCAL_MODEL: NO_DOWNLOAD,
    keys.LOCAL_MODEL_SOURCE_URI: NO_DOWNLOAD,
    keys.LOCAL_MODEL_PVC_NAME: NO_DOWNLOAD,
    keys.INITIALIZER_UID: IGNORED_FIELDS["securityContext"],
    keys.DEFAULT_CONTAINER: OF_THE_POD,
    keys.ISTIO_INTERCEPTION_MODE: IGNORED_FIELDS["securityContext"],
    keys.ISTIO_STATUS: IGNORED_FIELDS["securityContext"],
    **dict.fromkeys((key for key in keys.ALL if key in keys.CREDENTIAL_ANNOTATIONS), ON_OBJECTS),
}

FOR_ANNOTATIONS = Facts(
    storage_configs={"storage-config": {name: StorageEntry("s3") for name in ("a", "b", "default", "default_s3")}},
    storage_containers=(
        StorageContainer("a", {"env": [{"name": "FORMAT", "value": "a"}]}, (UriFormat(prefix="s3://"),)),
        StorageContainer("b", {"env": [{"name": "FORMAT", "value": "b"}]}, (UriFormat(prefix="s3://"),)),
    ),
)


def test_every_annotation_has_a_case_or_a_reason() -> None:
    assert set(ANNOTATIONS) == set(keys.ALL)


@pytest.mark.parametrize("name", [name for name, case in ANNOTATIONS.items() if not isinstance(case, str)])
def test_an_annotation_that_decides_the_bytes_changes_the_key(name: keys.Key) -> None:
    one, other = ({str(key): value for key, value in each.items()} for each in ANNOTATIONS[name])
    uri = one.pop(str(keys.SOURCE_URI), one.get(str(keys.URI), URI))
    other_uri = other.pop(str(keys.SOURCE_URI), other.get(str(keys.URI), URI))
    assert key_of(one, facts=FOR_ANNOTATIONS, uri=uri) != key_of(other, facts=FOR_ANNOTATIONS, uri=other_uri)


# --- Every field of the init container, and every variable ----------------------------------------------------------

FIELDS: dict[str, tuple[Any, Any]] = {
    "image": ("a:1", "b:1"),
    "command": (["a"], ["b"]),
    "args": (["a"], ["b"]),
    "workingDir": ("/a", "/b"),
    "env": ([{"name": "A", "value": "a"}], [{"name": "A", "value": "b"}]),
    "envFrom": ([{"configMapRef": {"name": "a"}}], [{"configMapRef": {"name": "b"}}]),
    "volumeMounts": ([{"name": "a", "mountPath": "/x"}], [{"name": "b", "mountPath": "/x"}]),
    "volumeDevices": ([{"name": "a", "devicePath": "/x"}], [{"name": "b", "devicePath": "/x"}]),
    "aFieldOfTheFuture": ("a", "b"),
    "resources": ({"limits": {"cpu": "2"}}, {"limits": {"cpu": "3"}}),
    "securityContext": ({"runAsUser": 1}, {"runAsUser": 2}),
    "imagePullPolicy": ("Always", "Never"),
    "terminationMessagePath": ("/a", "/b"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
    "name": ("a", "b"),
}
VOLUMES = [{"name": name, "secret": {"secretName": name}} for name in ("a", "b")]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_init_container_changes_the_key_or_has_a_reason(field: str) -> None:
    one, other = (key_of(facts=storage_container(**{field: value}), volumes=VOLUMES) for value in FIELDS[field])
    assert (one == other) == (field in IGNORED_FIELDS)
    assert IGNORED_FIELDS.keys() <= FIELDS.keys()


def test_the_source_of_a_mounted_volume_counts_and_not_its_name() -> None:
    def mounting(name: str, secret: str) -> str:
        volumes = [{"name": name, "secret": {"secretName": secret}}]
        return key_of(facts=storage_container(volumeMounts=[{"name": name, "mountPath": "/x"}]), volumes=volumes)

    assert mounting("a", "one") == mounting("b", "one")
    assert mounting("a", "one") != mounting("a", "two")


def _variables_that_steps_set() -> Iterator[str]:
    """The names of the variables that the webhook sets on the init container, for all kinds of Secrets and specs."""
    plain = dict.fromkeys(PLAIN_KEYS, "true") | {"https-host": "example.com"}
    every = {kind.name.replace(" ", "-"): Secret(frozenset(_keys(kind)), {}, plain) for kind in KINDS}
    config = {"storage-config": {"a": StorageEntry("s3", "bucket", "ca")}}
    spec = {**SPEC, str(keys.STORAGE_SPEC_KEY): "a", str(keys.STORAGE_SPEC_PARAM): '{"type": "s3"}'}
    confidential = {str(keys.CONFIDENTIAL_ENABLED): "true", str(keys.CONFIDENTIAL_RESOURCE_ID): "a"}
    for given, facts in (
        (confidential, account({keys.ROLE_ARN: "a", keys.S3_ENDPOINT: "a", keys.S3_REGION: "a"})),
        ({}, account(None, **every)),
        (spec, Facts(storage_configs=config)),
    ):
        outcome = decide(kserve_pod(URI, annotations={**CACHE, **given}), facts=facts)
        yield from names(initializer(outcome.mutated or {})["env"])


@pytest.mark.parametrize("copied", ["true", "false"])
def test_a_variable_of_the_server_counts_if_it_is_copied(copied: str) -> None:
    def found(value: str) -> str:
        server = {"name": "kserve-container", "image": "a", "env": [{"name": "HF_ENDPOINT", "value": value}]}
        return key_of({str(keys.ENV_FROM_CONTAINER): copied}, containers=[server])

    assert (found("a") != found("b")) == (copied == "true")


def _keys(kind: Any) -> Iterator[str]:
    yield from kind.keys(Credentials())[0]


SET_VARIABLES = sorted({*_variables_that_steps_set()})


@pytest.mark.parametrize("name", sorted({*SET_VARIABLES, *IGNORED_VARIABLES}))
def test_a_variable_of_the_init_container_changes_the_key_or_has_a_reason(name: str) -> None:
    one, other = (key_of(facts=storage_container(env=[{"name": name, "value": value}])) for value in ("/a/1", "/b/2"))
    assert (one == other) == (name in IGNORED_VARIABLES)


def test_only_variables_that_the_webhook_sets_are_ignored() -> None:
    assert IGNORED_VARIABLES.keys() <= set(SET_VARIABLES)


# --- Facts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_name_of_a_secret_counts_for_each_kind(kind: Any) -> None:
    secret = Secret(frozenset(_keys(kind)), {}, {"https-host": "example.com"})
    assert key_of(facts=account(None, a=secret)) != key_of(facts=account(None, b=secret))


@pytest.mark.parametrize("name", sorted(PLAIN_KEYS))
def test_the_values_of_a_secret_that_the_pod_gets_count(name: str) -> None:
    kind = {"https-host": frozenset({"https-host", "headers"})}.get(name, S3_KEYS | {name})
    endpoint = {"S3_ENDPOINT": "minio"} if name == "S3_USE_HTTPS" else {}
    one, two = (key_of(facts=account(None, s=Secret(kind, {}, {**endpoint, name: value}))) for value in ("0", "1"))
    assert (one == two) == (name in IGNORED_VARIABLES)


@pytest.mark.parametrize("name", sorted(keys.CREDENTIAL_ANNOTATIONS))
def test_annotations_of_a_service_account_count(name: str) -> None:
    ignored = {keys.S3_CA_BUNDLE, keys.S3_CA_BUNDLE_CONFIG_MAP}
    endpoint = {str(keys.S3_ENDPOINT): "minio"} if name == keys.S3_USE_HTTPS else {}
    one, other = (key_of(facts=account({**endpoint, name: value})) for value in ("0", "1"))
    assert (one == other) == (name in ignored)


@pytest.mark.parametrize("annotation", keys.IDENTITIES)
def test_the_identity_of_a_service_account_counts_beside_a_storage_spec(annotation: str) -> None:
    config = Facts(storage_configs={"storage-config": {"a": StorageEntry("s3", "bucket")}})
    spec = {**SPEC, str(keys.STORAGE_SPEC_KEY): "a"}
    found = [key_of(spec, facts=config._replace(service_account=ServiceAccount({annotation: value}))) for value in "ab"]
    assert found[0] != found[1]


@pytest.mark.parametrize("cache", [CACHE, {}])
def test_the_identity_is_looked_up_beside_a_storage_spec_if_the_pod_shares_a_cache(cache: dict[str, str]) -> None:
    settings, _ = parse({})
    request = pods.read(kserve_pod(URI, annotations={**SPEC, **cache}), "models", settings)
    assert isinstance(request, ModelRequest)
    kinds = []

    def read(key: Any, suffices: Any = None) -> Any:
        kinds.append(key.kind)
        return ServiceAccount({keys.ROLE_ARN: "a"}) if key.kind is SERVICE_ACCOUNT else None

    assert (gather(request, settings, read).service_account is not None) == bool(cache)
    assert STORAGE_CONFIG in kinds


def test_the_bucket_of_a_storage_spec_and_its_secret_count() -> None:
    def found(bucket: str = "a", secret: str = "storage-config") -> str:
        facts = Facts(storage_configs={secret: {"a": StorageEntry("s3", bucket)}})
        named = {"serving.kserve.io/storageSecretName": secret} if secret != "storage-config" else {}
        return key_of({**SPEC, str(keys.STORAGE_SPEC_KEY): "a", **named}, facts=facts, uri="<scheme-placeholder>://m")

    assert len({found(), found(bucket="b"), found(secret="other")}) == 3


def test_the_pull_secret_counts() -> None:
    def found(name: str) -> str:
        facts = Facts(pull_secrets={name: PullSecret(has_docker_config=True)})
        return key_of(uri="oci+fetch://registry/model:1", facts=facts, imagePullSecrets=[{"name": name}], settings=OCI)

    assert found("a") != found("b")


def test_the_name_of_a_storage_container_and_unused_objects_do_not_count() -> None:
    assert key_of(facts=storage_container("a")) == key_of(facts=storage_container("b"))
    assert key_of(facts=account(None, a=Secret(frozenset({"unknown"})))) == key_of()


@pytest.mark.parametrize(
    "spec",
    [
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["s3"]}]},
        {"dnsConfig": {"nameservers": ["10.0.0.1"]}},
        {"dnsPolicy": "Default"},
        {"hostNetwork": True},
    ],
)
def test_another_server_under_the_same_name_is_another_model(spec: Any) -> None:
    assert key_of(**spec) != key_of()


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"hostname": "web-1", "subdomain": "web"}, id="a StatefulSet sets them on each of its pods"),
        pytest.param({"dnsPolicy": "ClusterFirst", "hostNetwork": False}, id="defaults of the API server"),
    ],
)
def test_what_controllers_and_the_api_server_add_to_a_pod_is_no_other_model(spec: Any) -> None:
    assert key_of(**spec) == key_of()


# --- Settings -------------------------------------------------------------------------------------------------------

OCI = {"storageInitializer": {"ociModelMode": "fetch"}}
UPGRADE = "an upgrade must not download everything again"
TRUST = IGNORED_VARIABLES["AWS_CA_BUNDLE"]

SETTINGS: dict[str, Any] = {
    "storageInitializer.image": UPGRADE,
    "storageInitializer.cpuRequest": RESOURCES,
    "storageInitializer.cpuLimit": RESOURCES,
    "storageInitializer.memoryRequest": RESOURCES,
    "storageInitializer.memoryLimit": RESOURCES,
    "storageInitializer.enableDirectPvcVolumeMount": "about claims",
    "storageInitializer.caBundleConfigMapName": TRUST,
    "storageInitializer.caBundleVolumeMountPath": TRUST,
    "storageInitializer.enableModelcar": NO_DOWNLOAD,
    "storageInitializer.enableOciModelSupport": NO_DOWNLOAD,
    "storageInitializer.ociModelMode": NO_DOWNLOAD,
    "storageInitializer.ociInsecureRegistry": (False, True),
    "storageInitializer.cpuModelcar": "about modelcars",
    "storageInitializer.memoryModelcar": "about modelcars",
    "storageInitializer.uidModelcar": "about modelcars",
    "credentials.enabled": "without facts nothing is added: see the tests of facts",
    "credentials.storageSpecSecretName": ("a", "b"),
    "credentials.storageSecretNameAnnotation": "the Secret that it names counts",
    "credentials.gcs.gcsCredentialFileName": ("a", "b"),
    "credentials.s3.s3AccessKeyIDName": ("awsAccessKeyID", "b"),
    "credentials.s3.s3SecretAccessKeyName": ("awsSecretAccessKey", "b"),
    "credentials.s3.s3Endpoint": ("a", "b"),
    "credentials.s3.s3UseHttps": ("0", "1"),
    "credentials.s3.s3Region": ("a", "b"),
    "credentials.s3.s3VerifySSL": ("0", "1"),
    "credentials.s3.s3UseVirtualBucket": ("true", "false"),
    "credentials.s3.s3UseAccelerate": ("true", "false"),
    "credentials.s3.s3UseAnonymousCredential": ("true", "false"),
    "credentials.s3.s3CABundleConfigMap": TRUST,
    "credentials.s3.s3CABundle": TRUST,
    "deploy": OF_ROLLOUTS,
    "storageContainers": "their containers count as those of ClusterStorageContainers do: see the tests of fields",
    "storageDefaults": "where the model goes, what pods may ask for, and what Deployments get",
}
BASIC_SETTINGS = {"credentials": {"s3": {"s3Endpoint": "minio"}}, **OCI}


def _leaves(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The paths of all fields of the settings; the groups in `SETTINGS` are not divided."""
    for field in model.model_fields.values():
        name = f"{path}{field.alias}"
        inner = field.annotation
        if name not in SETTINGS and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{name}.")
        else:
            yield name


def test_every_setting_has_a_case_or_a_reason() -> None:
    assert sorted(_leaves(Settings)) == sorted(SETTINGS)


def _with(path: str, value: Any) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(BASIC_SETTINGS))
    *groups, name = path.split(".")
    group = settings
    for each in groups:
        group = group.setdefault(each, {})
    group[name] = value
    return settings


@pytest.mark.parametrize("path", [path for path, case in SETTINGS.items() if not isinstance(case, str)])
def test_a_setting_that_decides_the_bytes_changes_the_key(path: str) -> None:
    def found(value: str) -> str:
        settings = _with(path, value)
        if path == "credentials.storageSpecSecretName":
            facts = Facts(storage_configs={value: {"a": StorageEntry("s3", "bucket")}})
            return key_of({**SPEC, str(keys.STORAGE_SPEC_KEY): "a"}, settings, facts)
        if "oci" in path:
            return key_of(settings=settings, uri="oci+fetch://registry/model:1")
        return key_of(settings=settings, facts=account(None, s=Secret(frozenset({*_names_of_keys(path, value)}))))

    one, other = SETTINGS[path]
    assert found(one) != found(other)


def _names_of_keys(path: str, value: str) -> Iterator[str]:
    """The keys of a Secret that the setting is about."""
    if path.startswith("credentials.gcs"):
        yield value
    elif "AccessKey" in path:
        yield from (*S3_KEYS, value)
