"""The volume for downloads: an emptyDir, or a generic ephemeral volume."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import (
    JsonObject,
    a_container,
    answer,
    initializer,
    kserve_pod,
    mount_list,
    mutated,
    plain_pod,
    several,
    volumes,
)
from webhook import annotations as keys
from webhook.settings.parse import SettingsError, parse

S3 = "s3://bucket/model"
FS_GROUP = {"securityContext": {"fsGroup": 1000}}


def _settings(storage_defaults: JsonObject | None = None, **ephemeral: Any) -> JsonObject:
    volume = {"ephemeral": {"size": "100Gi", **ephemeral}}
    return {"storageDefaults": {"downloadVolume": volume, **(storage_defaults or {})}}


def _claim_template(pod: JsonObject, name: str = "kserve-provision-location") -> JsonObject:
    spec: JsonObject = volumes(pod)[name]["ephemeral"]["volumeClaimTemplate"]["spec"]
    return spec


@pytest.mark.parametrize("value", [None, "", "emptyDir", {}, {"ephemeral": None}])
def test_an_empty_dir_by_default(value: Any) -> None:
    pod = mutated(plain_pod(S3), {"storageDefaults": {"downloadVolume": value}})
    assert volumes(pod) == {"kserve-provision-location": {"emptyDir": {}}}


@pytest.mark.parametrize(
    ("ephemeral", "expected"),
    [
        ({}, {"accessModes": ["ReadWriteOnce"]}),
        ({"accessModes": ["ReadWriteOncePod"]}, {"accessModes": ["ReadWriteOncePod"]}),
        ({"storageClassName": "nvme"}, {"accessModes": ["ReadWriteOnce"], "storageClassName": "nvme"}),
    ],
)
@pytest.mark.parametrize("made", [plain_pod, kserve_pod])
def test_an_ephemeral_volume_of_the_settings(made: Any, ephemeral: JsonObject, expected: JsonObject) -> None:
    pod = mutated(made(S3), _settings(**ephemeral))
    assert _claim_template(pod) == {"resources": {"requests": {"storage": "100Gi"}}, **expected}
    assert initializer(pod)["volumeMounts"] == [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}]
    server = pod["spec"]["containers"][0]["name"]
    assert mount_list(pod, server)[0] == {
        "name": "kserve-provision-location",
        "mountPath": "/mnt/models",
        "readOnly": True,
    }


def test_several_downloads_share_it() -> None:
    pod = mutated(several((S3, "/mnt/a"), ("hf://a/b", "/mnt/b")), _settings())
    assert _claim_template(pod, "mnt")["resources"] == {"requests": {"storage": "100Gi"}}


@pytest.mark.parametrize("uri", ["pvc://models/iris", "oci+modelcar://registry.example.com/m:1"])
def test_other_volumes_stay_as_they_are(uri: str) -> None:
    given = {"storageInitializer": {"enableModelcar": True}}
    assert mutated(plain_pod(uri), {**_settings(), **given}) == mutated(plain_pod(uri), given)


def test_a_shared_cache_needs_no_volume_of_its_own() -> None:
    pod = mutated(plain_pod(S3, annotations={keys.CACHE: "pvc://cache"}), _settings())
    assert volumes(pod).keys() == {"storage-cache"}


def test_the_volume_of_the_author_is_used() -> None:
    own = {"name": "kserve-provision-location", "emptyDir": {"medium": "Memory"}}
    pod = mutated(plain_pod(S3, volumes=[own]), _settings())
    assert pod["spec"]["volumes"] == [own]


FRESH = "set spec.securityContext.fsGroup"


@pytest.mark.parametrize(
    ("spec", "settings", "is_warned"),
    [
        ({}, _settings(), True),
        ({"securityContext": {"runAsUser": 1000}}, _settings(), True),
        (FS_GROUP, _settings(), False),
        ({"securityContext": {"fsGroup": 0}}, _settings(), False),
        ({"securityContext": {"runAsUser": 0}}, _settings(), False),
        ({}, _settings({"securityContext": {"runAsUser": 0}}), False),
        ({}, {}, False),
    ],
)
def test_a_new_file_system_without_fs_group_warns(spec: JsonObject, settings: JsonObject, is_warned: bool) -> None:
    response = answer(plain_pod(S3, **spec), settings)
    assert any(FRESH in warning for warning in response.get("warnings", ())) == is_warned


def test_an_ephemeral_volume_of_the_author_warns_too() -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    own = {"name": "kserve-provision-location", "ephemeral": {"volumeClaimTemplate": template}}
    assert FRESH in answer(plain_pod(S3, volumes=[own]))["warnings"][0]
    assert "warnings" not in answer(plain_pod(S3, volumes=[{**own, "name": "other"}]))


def test_observe_mode_recognizes_it() -> None:
    observing = _settings({"mode": "observe"})
    injected = mutated(plain_pod(S3, **FS_GROUP), _settings())
    assert answer(injected, observing)["auditAnnotations"]["outcome"] == "observed"
    assert "warnings" not in answer(injected, observing)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hostPath", "storageDefaults.downloadVolume: must be an object"),
        ({"emptydir": {}}, "storageDefaults.downloadVolume.emptydir: unknown key"),
        ({"ephemeral": {"storageClassName": "a"}}, "downloadVolume.ephemeral.size: is missing"),
        ({"ephemeral": {"size": "0"}}, "size must be more than 0"),
        ({"ephemeral": {"size": "big"}}, "ephemeral.size: must be a quantity"),
        ({"ephemeral": {"size": "1Gi", "accessModes": []}}, "accessModes"),
        ({"ephemeral": {"size": "1Gi", "accessModes": ["ReadOnlyMany"]}}, "accessModes.0: must be 'ReadWriteOnce'"),
        ({"ephemeral": {"size": "1Gi", "storageClas": "a"}}, "unknown key; did you mean storageClassName?"),
    ],
)
def test_an_invalid_volume_is_named(value: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse({"storageDefaults": {"downloadVolume": value}})
    assert problem in str(error.value)


def test_settings_of_the_empty_dir_beside_it_are_a_warning() -> None:
    _, (warning,) = parse(_settings({"emptyDir": {"sizeLimit": "1Gi"}}))
    assert str(warning).startswith("storageDefaults.emptyDir: has no effect beside downloadVolume.ephemeral")


def test_two_containers_may_write_to_it() -> None:
    pod = mutated(
        plain_pod(S3, containers=[a_container()], annotations={keys.READ_ONLY: "false"}, **FS_GROUP), _settings()
    )
    assert mount_list(pod) == [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}]
