"""OCI images that the init container pulls."""

import pytest

from tests.mutation import answer, container, denied, env, kserve_pod, mounts, mutated, plain_pod, several, volumes

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
    pod = mutated(kserve_pod(f"oci://{IMAGE}", imagePullSecrets=SECRETS), ON)
    assert volumes(pod)["kserve-oci-fetch-docker-config"] == CONFIG
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/mnt/oci-fetch-auth"] == {"name": "kserve-oci-fetch-docker-config", "readOnly": True}
    assert env(initializer)["KSERVE_OCI_DOCKER_CONFIG"] == "/mnt/oci-fetch-auth/config.json"
    assert "/mnt/oci-fetch-auth" not in mounts(container(pod, "kserve-container"))
    assert "warnings" not in answer(kserve_pod(f"oci://{IMAGE}", imagePullSecrets=SECRETS), ON)


def test_first_of_several_pull_secrets_is_used_with_a_warning():
    pod = kserve_pod(f"oci://{IMAGE}", imagePullSecrets=[*SECRETS, {"name": "second"}])
    assert volumes(mutated(pod, ON))["kserve-oci-fetch-docker-config"] == CONFIG
    (warning,) = answer(pod, ON)["warnings"]
    assert 'first of the pod\'s 2 imagePullSecrets, "registry"' in warning


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
