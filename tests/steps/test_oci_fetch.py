"""OCI images that the init container pulls."""

import pytest

from tests.cluster_objects import NAMESPACE, admitted, denial, facts_of, secret, service_account, variables, warnings
from tests.mutation import answer, container, denied, env, kserve_pod, mounts, mutated, plain_pod, several, volumes
from webhook.admission import pods
from webhook.cluster.facts import Facts, PullSecret
from webhook.cluster.lookups import MAX_PULL_SECRETS, gather
from webhook.settings.parse import parse

IMAGE = "registry.example.com/models/iris:1.0"
ON = {"storageInitializer": {"ociModelMode": "fetch"}}
SECRETS = [{"name": "registry"}]
CONFIG = {
    "secret": {
        "secretName": "registry",
        "defaultMode": 0o444,
        "items": [{"key": ".dockerconfigjson", "path": "config.json"}],
    }
}


@pytest.mark.parametrize("scheme", ["oci", "oci+fetch"])
def test_volume_is_named_after_the_mount_path(scheme):
    pod = mutated(kserve_pod(f"{scheme}://{IMAGE}"), ON)
    assert container(pod, "storage-initializer")["args"] == [f"oci://{IMAGE}", "/mnt/models"]
    assert volumes(pod) == {"mnt-models": {"emptyDir": {}}}
    assert mounts(container(pod, "storage-initializer")) == {"/mnt/models": {"name": "mnt-models"}}
    assert mounts(container(pod, "kserve-container")) == {"/mnt/models": {"name": "mnt-models", "readOnly": True}}


def test_writable_model():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/readonly": "false"}), ON)
    assert mounts(container(pod, "kserve-container")) == {"/mnt/models": {"name": "mnt-models"}}


def test_volume_has_the_configured_size_limit():
    settings = {**ON, "storageDefaults": {"emptyDir": {"sizeLimit": "20Gi"}}}
    assert volumes(mutated(kserve_pod(f"oci://{IMAGE}"), settings)) == {
        "mnt-models": {"emptyDir": {"sizeLimit": "20Gi"}}
    }


def test_only_the_init_container_mounts_the_pull_secret():
    pod = admitted(kserve_pod(f"oci://{IMAGE}", imagePullSecrets=SECRETS), REGISTRY, settings=ON)
    assert volumes(pod)["kserve-oci-fetch-docker-config"] == CONFIG
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/mnt/oci-fetch-auth"] == {"name": "kserve-oci-fetch-docker-config", "readOnly": True}
    assert env(initializer)["KSERVE_OCI_DOCKER_CONFIG"] == "/mnt/oci-fetch-auth/config.json"
    assert "/mnt/oci-fetch-auth" not in mounts(container(pod, "kserve-container"))


# Secrets of the cluster by what they contain.
REGISTRY = secret("registry", {".dockerconfigjson": "{}"})
SECOND = secret("second", {".dockerconfigjson": "{}", "more": "x"})
LEGACY = secret("legacy", {".dockercfg": "{}"})
OPAQUE = secret("opaque", {"config.json": "{}"})
CLUSTER = [REGISTRY, SECOND, LEGACY, OPAQUE]

CHOICES = {
    "the only one": (["registry"], "registry", []),
    "OpenShift's own first": (["legacy", "registry"], "registry", []),
    "several others first": (["legacy", "opaque", "second"], "second", []),
    "missing first": (["gone", "registry"], "registry", ['"gone" does not exist']),
    "missing last": (["registry", "gone"], "registry", ['"gone" does not exist']),
    "two with the key": (["second", "registry"], "second", ['only Secret "second", the first of 2']),
    "one twice": (["registry", "registry"], "registry", []),
    "none with the key": (["legacy", "opaque"], None, ["no Secret has key .dockerconfigjson"]),
    "all missing": (["gone"], None, ['"gone" does not exist', "no Secret has key .dockerconfigjson"]),
    "no name of a Secret": (["No/Name"], None, ['"No/Name" does not exist', "no Secret has key .dockerconfigjson"]),
}


@pytest.mark.parametrize(("listed", "expected", "words"), CHOICES.values(), ids=CHOICES)
def test_the_first_secret_with_the_key_is_used(listed, expected, words):
    pod = kserve_pod(f"oci://{IMAGE}", imagePullSecrets=[{"name": name} for name in listed])
    assert _mounted(admitted(pod, *CLUSTER, settings=ON)) == (expected, False)
    found = warnings(pod, *CLUSTER, settings=ON)
    assert len(found) == len(words)
    assert all(word in warning for word, warning in zip(words, found, strict=True))
    assert all(len(warning) <= 256 for warning in found)


def _mounted(pod):
    """The Secret that the init container mounts, and whether it is optional."""
    initializer = container(pod, "storage-initializer")
    volume = volumes(pod).get("kserve-oci-fetch-docker-config", {}).get("secret", {})
    is_mounted = "/mnt/oci-fetch-auth" in mounts(initializer)
    assert is_mounted == ("KSERVE_OCI_DOCKER_CONFIG" in env(initializer)) == bool(volume)
    return volume.get("secretName"), volume.get("optional", False)


UNREAD = PullSecret()
UNKNOWN = {
    "no cluster": ({}, "a"),
    "the first": ({"a": UNREAD, "b": PullSecret(False)}, "a"),
    "a later one": ({"a": PullSecret(False), "b": UNREAD}, "b"),
    "after a missing one": ({"a": None, "b": UNREAD}, "b"),
    "not looked up": ({"a": PullSecret(False)}, "b"),
}


@pytest.mark.parametrize(("facts", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_secret_that_was_not_read_is_optional(facts, expected):
    pod = kserve_pod(f"oci://{IMAGE}", imagePullSecrets=[{"name": "a"}, {"name": "b"}])
    facts = Facts(pull_secrets=facts)
    assert _mounted(mutated(pod, ON, facts=facts)) == (expected, True)
    warning = answer(pod, ON, facts=facts)["warnings"][-1]
    assert f'"{expected}"' in warning
    assert ".dockerconfigjson" in warning
    assert "without a login" in warning
    assert len(warning) <= 256


def test_a_known_secret_is_preferred_to_one_that_was_not_read():
    pod = kserve_pod(f"oci://{IMAGE}", imagePullSecrets=[{"name": "a"}, {"name": "b"}])
    facts = Facts(pull_secrets={"a": UNREAD, "b": PullSecret(True)})
    assert _mounted(mutated(pod, ON, facts=facts)) == ("b", False)
    assert "warnings" not in answer(pod, ON, facts=facts)


def _reads(pod, settings):
    """The objects that are looked up for a pod, as text."""
    parsed, _ = parse(settings)
    keys = []
    gather(pods.read(pod, NAMESPACE, parsed), parsed, lambda key, suffices=None: keys.append(str(key)))
    return keys


def test_pull_secrets_are_read_only_to_fetch_an_image():
    read = f'Secret "registry" in namespace "{NAMESPACE}"'
    assert read in _reads(kserve_pod(f"oci+fetch://{IMAGE}", imagePullSecrets=SECRETS), ON)
    for uri in ("oci+native://car:1", "oci+modelcar://car:1", "s3://b/m", "pvc://claim"):
        assert read not in _reads(kserve_pod(uri, imagePullSecrets=SECRETS), ON)


def test_no_secret_is_read_when_credentials_are_disabled():
    off = {**ON, "credentials": {"enabled": False}}
    pod = kserve_pod(f"oci+fetch://{IMAGE}", imagePullSecrets=SECRETS)
    assert not any("Secret" in each for each in _reads(pod, off))
    assert _mounted(admitted(pod, REGISTRY, settings=off)) == ("registry", True)


def test_the_number_of_reads_is_limited():
    listed = [{"name": f"s{number}"} for number in range(1000)]
    pod = kserve_pod(f"oci+fetch://{IMAGE}", imagePullSecrets=listed)
    assert sum("Secret" in each for each in _reads(pod, ON)) == MAX_PULL_SECRETS
    found = admitted(pod, *(secret(f"s{number}", {}) for number in range(1000)), settings=ON)
    assert _mounted(found) == (f"s{MAX_PULL_SECRETS}", True)


INTERNAL = "internal.serving.kserve.io/"
UNUSED = {
    "a missing Secret of the account": {},
    "a missing Secret that the pod names": {"serving.kserve.io/storageSecretName": "gone"},
    "a missing entry of the storage-config": {INTERNAL + "storage-spec": "true", INTERNAL + "storage-spec-key": "gone"},
    "a storage spec without a type": {INTERNAL + "storage-spec": "true"},
}


@pytest.mark.parametrize("annotations", UNUSED.values(), ids=UNUSED)
def test_credentials_for_storage_are_neither_used_nor_required(annotations):
    pod = kserve_pod(f"oci+fetch://{IMAGE}", annotations=annotations)
    initializer = container(admitted(pod, service_account("hub", "missing"), settings=ON), "storage-initializer")
    assert variables(initializer) == {}
    assert facts_of(pod, [service_account("hub", "missing")], ON).service_account is None


def test_a_download_from_storage_beside_an_image_needs_its_credentials():
    pod = several((f"oci+fetch://{IMAGE}", "/mnt/base"), ("s3://b/lora", "/mnt/lora"), imagePullSecrets=SECRETS)
    assert 'Secret "missing"' in denial(pod, REGISTRY, service_account("missing"), settings=ON)
    assert _mounted(admitted(pod, REGISTRY, settings=ON)) == ("registry", False)


@pytest.mark.parametrize("secrets", [[], None, [{}], [{"name": ""}], [None], "registry", {"name": "registry"}])
def test_no_secret_is_mounted_without_pull_secrets(secrets):
    pod = mutated(kserve_pod(f"oci://{IMAGE}", imagePullSecrets=secrets), ON)
    assert list(volumes(pod)) == ["mnt-models"]
    assert "KSERVE_OCI_DOCKER_CONFIG" not in env(container(pod, "storage-initializer"))


@pytest.mark.parametrize("uri", ["oci+native://car:1", "oci+modelcar://car:1", "s3://b/m", "pvc://claim"])
def test_other_sources_do_not_mount_the_pull_secret(uri):
    assert "kserve-oci-fetch-docker-config" not in volumes(mutated(kserve_pod(uri, imagePullSecrets=SECRETS), ON))


@pytest.mark.parametrize(("setting", "expected"), [(True, "true"), (False, None)])
def test_insecure_registry_setting(setting, expected):
    settings = {"storageInitializer": {"ociModelMode": "fetch", "ociInsecureRegistry": setting}}
    initializer = container(mutated(kserve_pod(f"oci://{IMAGE}"), settings), "storage-initializer")
    assert env(initializer).get("KSERVE_OCI_INSECURE_REGISTRY") == expected


def test_init_container_is_shared_with_other_downloads():
    pod = mutated(
        several((f"oci+fetch://{IMAGE}", "/mnt/base"), ("s3://b/lora", "/mnt/lora"), imagePullSecrets=SECRETS), ON
    )
    initializer = container(pod, "storage-initializer")
    assert initializer["args"] == [f"oci://{IMAGE}", "/mnt/base", "s3://b/lora", "/mnt/lora"]
    assert mounts(container(pod, "server")) == {"/mnt": {"name": "mnt", "readOnly": True}}
    assert mounts(initializer)["/mnt"] == {"name": "mnt"}
    assert "/mnt/oci-fetch-auth" in mounts(initializer)


def test_all_oci_modes_in_one_pod():
    pod = mutated(
        several(
            ("oci+modelcar://car:1", "/srv/car"),
            ("oci+native://car:2", "/mnt/native"),
            ("oci+fetch://car:3", "/mnt/fetched"),
        ),
        ON,
    )
    assert mounts(container(pod, "server")) == {
        "/srv": {"name": "kserve-provision-location"},
        "/mnt/native": {"name": "mnt-native", "subPath": "models", "readOnly": True},
        "/mnt/fetched": {"name": "mnt-fetched", "readOnly": True},
    }


def _after_kserve(**annotations):
    """A pod after KServe's webhook."""
    pod = kserve_pod(f"oci://{IMAGE}", annotations=annotations, imagePullSecrets=SECRETS)
    model_mount = {"name": "mnt-models", "mountPath": "/mnt/models"}
    secret_mount = {"name": "kserve-oci-fetch-docker-config", "mountPath": "/mnt/oci-fetch-auth", "readOnly": True}
    initializer = {"name": "storage-initializer", "args": [f"oci://{IMAGE}", "/mnt/models"]}
    pod["spec"]["containers"][0]["volumeMounts"] = [dict(model_mount)]
    pod["spec"]["initContainers"] = [{**initializer, "volumeMounts": [secret_mount, model_mount]}]
    secret = {"secret": {**CONFIG["secret"], "defaultMode": 0o400}}
    pod["spec"]["volumes"] = [
        {"name": "kserve-oci-fetch-docker-config", **secret},
        {"name": "mnt-models", "emptyDir": {}},
    ]
    return pod


@pytest.mark.parametrize("annotations", [{}, {"storage.kserve.io/readonly": "false"}])
def test_pod_after_kserves_webhook_gets_the_same_mounts(annotations):
    after_kserve = mutated(_after_kserve(**annotations), ON)
    # Without facts, as for KServe, whether the Secret has the key is unknown.
    expected = mutated(kserve_pod(f"oci://{IMAGE}", annotations=annotations, imagePullSecrets=SECRETS), ON)
    assert volumes(after_kserve) == volumes(expected)
    for name in ("kserve-container", "storage-initializer"):
        assert mounts(container(after_kserve, name)) == mounts(container(expected, name))


def test_storage_uri_is_not_changed_for_several_models():
    pod = several((f"oci://{IMAGE}", "/mnt/base"), ("pvc://claim", "/mnt/lora"))
    pod["spec"]["containers"][0]["env"] = [{"name": "STORAGE_URI", "value": "s3://other"}]
    assert env(container(mutated(pod, ON), "server")) == {"STORAGE_URI": "s3://other"}


def test_existing_init_container_is_not_changed():
    pod = kserve_pod(f"oci://{IMAGE}", imagePullSecrets=SECRETS)
    pod["spec"]["initContainers"] = [{"name": "storage-initializer", "args": [f"oci://{IMAGE}", "/mnt/models"]}]
    assert "patch" not in answer(pod, ON)


@pytest.mark.parametrize("args", [None, [], ["oci://car:1"], ["oci://car:1", ["/mnt/models"]], [None, 1], "oci://"])
def test_invalid_arguments_are_ignored(args):
    initializer = {"name": "storage-initializer", "args": args, "volumeMounts": [{"name": "a", "mountPath": {}}]}
    assert "patch" not in answer(kserve_pod(f"oci://{IMAGE}", initContainers=[initializer]), ON)


def test_read_write_is_forbidden_after_kserves_webhook():
    settings = {**ON, "storageDefaults": {"allowReadWrite": False}}
    pod = _after_kserve(**{"storage.kserve.io/readonly": "false"})
    assert "is not allowed in namespace" in denied(pod, settings)


def test_existing_volume_with_another_secret_is_denied():
    volume = {"name": "kserve-oci-fetch-docker-config", "secret": {"secretName": "theirs"}}
    pod = plain_pod(f"oci://{IMAGE}", imagePullSecrets=SECRETS, volumes=[volume])
    assert 'volume "kserve-oci-fetch-docker-config", secret "theirs"' in denied(pod, ON)
