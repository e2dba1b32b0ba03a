"""Storage containers of the settings: the same selection and merge as of ClusterStorageContainers, and volumes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import admitted, denial, initializer, storage_container, warnings
from tests.mutation import JsonObject, env, kserve_pod, mounts, plain_pod, several, volumes
from webhook import annotations as keys

DEFAULT_IMAGE = "kserve/storage-initializer:latest"
S3 = "s3://bucket/model"
BY_NAME = "internal.serving.kserve.io/storage-container-name"


def of_settings(name: str = "own", *formats: str, **fields: Any) -> JsonObject:
    """A storage container of the settings; a format that begins with `~` is a regex. Without formats: every URI."""
    supported = [{"regex": each[1:]} if each.startswith("~") else {"prefix": each} for each in formats]
    given = {"supportedUriFormats": supported} if supported else {}
    return {"name": name, "container": {"image": f"{name}:1"}, **given, **fields}


def _settings(*containers: JsonObject) -> JsonObject:
    return {"storageContainers": list(containers)}


@pytest.mark.parametrize(
    ("uri", "containers", "image"),
    [
        ("git://host/m", [of_settings("git", "git://")], "git:1"),
        (S3, [of_settings("git", "git://")], DEFAULT_IMAGE),
        (S3, [of_settings("git", "git://", "~^s[0-9]:")], "git:1"),
        (S3, [of_settings("all")], "all:1"),
        ("pvc://models/iris", [of_settings("all")], ""),
        (S3, [of_settings("b", "s3://"), of_settings("a", "s3://")], "b:1"),
        (S3, [of_settings("a", namespaces=["other"]), of_settings("b")], "b:1"),
        (S3, [of_settings("a", namespaces=["other", "mod*"])], "a:1"),
        (S3, [of_settings("a", namespaces=["model"])], DEFAULT_IMAGE),
    ],
)
def test_the_first_in_the_list_that_is_for_the_namespace_and_uri(uri: str, containers: Any, image: str) -> None:
    pod = admitted(plain_pod(uri), settings=_settings(*containers))
    assert [each["image"] for each in pod["spec"].get("initContainers", ())] == ([image] if image else [])


@pytest.mark.parametrize("own", [of_settings("own"), of_settings("own", "s3://bucket/")])
def test_a_cluster_storage_container_takes_precedence(own: JsonObject) -> None:
    given = storage_container("z", "s3://")
    assert initializer(plain_pod(S3), given, settings=_settings(own))["image"] == "z:1"
    assert initializer(plain_pod("gs://b/m"), given, settings=_settings(of_settings("own")))["image"] == "own:1"


def test_a_cluster_storage_container_for_the_resolved_uri_takes_precedence() -> None:
    spec = {
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}',
    }
    pod = kserve_pod("<scheme-placeholder>://flowers", annotations=spec)
    assert initializer(pod, storage_container("z", "s3://"), settings=_settings(of_settings("own")))["image"] == "z:1"
    assert initializer(pod, settings=_settings(of_settings("own")))["image"] == "own:1"


def test_it_is_merged_over_the_init_container() -> None:
    container = {
        "imagePullPolicy": "Always",
        "command": ["fetch"],
        "env": [{"name": "HF_ENDPOINT", "value": "https://hub"}, {"name": "HF_XET_HIGH_PERFORMANCE", "value": "0"}],
        "resources": {"limits": {"memory": "4Gi"}},
        "securityContext": {"runAsUser": 1000},
    }
    merged = initializer(plain_pod(S3), settings=_settings(of_settings(container=container)))
    assert merged["image"] == DEFAULT_IMAGE
    assert merged["args"] == [S3, "/mnt/models"]
    assert (merged["command"], merged["imagePullPolicy"]) == (["fetch"], "Always")
    assert env(merged) == {
        "HF_ENDPOINT": "https://hub",
        "HF_XET_HIGH_PERFORMANCE": "0",
        "HF_HUB_ENABLE_HF_TRANSFER": "1",
        "HF_XET_NUM_CONCURRENT_RANGE_GETS": "8",
    }
    assert merged["resources"]["limits"] == {"cpu": "1", "memory": "4Gi"}
    assert merged["securityContext"]["runAsUser"] == 1000
    assert merged["securityContext"]["allowPrivilegeEscalation"] is False


VOLUMES: dict[str, JsonObject] = {
    "secret": {"secret": {"secretName": "ca", "defaultMode": 292}},
    "config": {"configMap": {"name": "ca"}},
    "claim": {"persistentVolumeClaim": {"claimName": "mirror", "readOnly": True}},
    "scratch": {"emptyDir": {}},
    "csi": {"csi": {"driver": "nfs.csi.example.com", "volumeAttributes": {"server": "nfs"}}},
}


def _with_volumes(*names: str) -> JsonObject:
    mounted = [{"name": name, "mountPath": f"/opt/{name}", "readOnly": True} for name in names]
    added = [{"name": name, **VOLUMES[name]} for name in names]
    return of_settings(container={"volumeMounts": mounted}, volumes=added)


def test_its_volumes_are_added_and_mounted_in_the_init_container_only() -> None:
    pod = admitted(plain_pod(S3), settings=_settings(_with_volumes(*VOLUMES)))
    assert {name: volumes(pod)[name] for name in VOLUMES} == VOLUMES
    (init,), (server,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert mounts(init).keys() == {"/mnt/models", *(f"/opt/{name}" for name in VOLUMES)}
    assert mounts(server).keys() == {"/mnt/models"}


def test_nothing_is_added_to_a_pod_that_downloads_nothing() -> None:
    settings = _settings(_with_volumes(*VOLUMES))
    assert volumes(admitted(plain_pod("pvc://models/iris"), settings=settings)).keys() == {"kserve-pvc-source"}


@pytest.mark.parametrize("name", [name for name in VOLUMES if name != "scratch"])
def test_a_volume_of_the_pod_that_is_the_same_is_used(name: str) -> None:
    pod = plain_pod(S3, volumes=[{"name": name, **VOLUMES[name]}])
    assert list(volumes(admitted(pod, settings=_settings(_with_volumes(name))))) == [name, "kserve-provision-location"]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("secret", {"secret": {"secretName": "mine"}}),
        ("secret", {"emptyDir": {}}),
        ("csi", {"csi": {"driver": "mine"}}),
        ("scratch", {"emptyDir": {}}),
    ],
)
def test_another_volume_of_the_same_name_is_left_alone(name: str, other: JsonObject) -> None:
    pod = admitted(plain_pod(S3, volumes=[{"name": name, **other}]), settings=_settings(_with_volumes(name)))
    found = volumes(pod)
    assert found.pop(name) == other
    (added,) = (each for each in found if each != "kserve-provision-location")
    assert found[added] == VOLUMES[name]
    assert mounts(pod["spec"]["initContainers"][0])[f"/opt/{name}"]["name"] == added


def test_one_claim_is_one_volume() -> None:
    own = {"name": "mine", "persistentVolumeClaim": {"claimName": "mirror"}}
    pod = admitted(plain_pod(S3, volumes=[own]), settings=_settings(_with_volumes("claim")))
    assert volumes(pod).keys() == {"mine", "kserve-provision-location"}
    assert mounts(pod["spec"]["initContainers"][0])["/opt/claim"] == {"name": "mine", "readOnly": True}


def test_a_mount_path_that_the_storage_container_needs_is_denied() -> None:
    pod = plain_pod(S3, annotations={keys.MOUNT_PATH: "/opt/secret"})
    message = denial(pod, settings=_settings(_with_volumes("secret")))
    assert 'storage container "own" of the settings mounts volume "secret" at "/opt/secret"' in message
    assert str(keys.MOUNT_PATH) in message


@pytest.mark.parametrize(
    ("fields", "is_allowed"),
    [
        ({"container": {"env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}}, True),
        ({"container": {"image": "own:1"}}, False),
        ({"container": {"command": ["fetch"]}}, False),
        ({"container": {"image": "own:1"}, "supportsMultiModelDownload": True}, True),
        ({"container": {"env": [{"name": "A", "value": "b"}]}, "supportsMultiModelDownload": False}, False),
    ],
)
def test_several_models_need_a_program_that_downloads_them(fields: JsonObject, is_allowed: bool) -> None:
    pod, settings = several((S3, "/mnt/a"), ("hf://a/b", "/mnt/b")), _settings(of_settings(**fields))
    if is_allowed:
        assert initializer(pod, settings=settings)["args"] == [S3, "/mnt/a", "hf://a/b", "/mnt/b"]
    else:
        assert 'storage container "own" of the settings, selected for the URI "s3://bucket/model", does not' in denial(
            pod, settings=settings
        )


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        (of_settings("own", "gs://"), 'does not support the URI "s3://bucket/model"'),
        (of_settings("own", namespaces=["other"]), 'is not for namespace "models"'),
    ],
)
def test_a_pod_may_name_one_that_is_for_it(container: JsonObject, problem: str) -> None:
    pod = kserve_pod(S3, annotations={BY_NAME: "own"})
    fitting = _settings(of_settings("first"), of_settings("own"))
    assert initializer(pod, settings=fitting)["image"] == "own:1"
    assert f'storage container "own" of the settings {problem}' in denial(pod, settings=_settings(container))


def test_a_scheme_of_its_own_is_known() -> None:
    assert warnings(plain_pod("git://host/m"), settings=_settings(of_settings("git", "git://"))) == []
    (warning,) = warnings(plain_pod("git://host/m"), settings=_settings(of_settings("hg", "hg://")))
    assert "without a storage container for it" in warning


def test_a_shared_cache_needs_its_command() -> None:
    pod = plain_pod(S3, annotations={keys.CACHE: "pvc://cache"})
    assert 'storage container "own" of the settings has no command' in denial(pod, settings=_settings(of_settings()))
    fetching = of_settings(container={"image": "own:1", "command": ["fetch"]})
    assert "fetch" in initializer(pod, settings=_settings(fetching))["args"]
