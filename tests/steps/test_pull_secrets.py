"""The initializer's image: when it is pulled, and with which Secrets. And its CPU limit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import initializer as with_objects
from tests.cluster_objects import storage_container
from tests.mutation import JsonObject, a_container, answer, container, initializer, mutated, plain_pod
from webhook import annotations as keys
from webhook.settings.parse import SettingsError, parse

S3 = "s3://bucket/model"
MODELCAR = "oci+modelcar://registry.example.com/m:1"


def _settings(**fields: Any) -> JsonObject:
    return {"storageInitializer": {"enableModelcar": True}, "storageDefaults": fields}


PULL = _settings(imagePullPolicy="Always", imagePullSecrets=["mirror", "other"])


def test_the_pull_policy_is_that_of_the_settings() -> None:
    assert initializer(mutated(plain_pod(S3), PULL))["imagePullPolicy"] == "Always"
    assert "imagePullPolicy" not in initializer(mutated(plain_pod(S3)))


def test_a_storage_container_takes_precedence() -> None:
    given = storage_container("a", "s3://", container={"imagePullPolicy": "Never"})
    assert with_objects(plain_pod(S3), given, settings=PULL)["imagePullPolicy"] == "Never"


def test_the_check_of_a_path_is_pulled_alike() -> None:
    pod = mutated(plain_pod("pvc://models/iris", annotations={keys.CHECK_PATH: "true"}), PULL)
    assert container(pod, "storage-path-check")["imagePullPolicy"] == "Always"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}, {"name": "other"}]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (None, ["mirror", "other"]),
        ([], ["mirror", "other"]),
        ([{"name": "own"}], ["own", "mirror", "other"]),
        ([{"name": "other"}], ["other", "mirror"]),
        ([{"name": "other"}, {"name": "mirror"}], ["other", "mirror"]),
    ],
)
def test_pull_secrets_are_added_once(present: Any, expected: list[str]) -> None:
    pod = mutated(plain_pod(S3, imagePullSecrets=present), PULL)
    assert [each["name"] for each in pod["spec"]["imagePullSecrets"]] == expected


@pytest.mark.parametrize("uri", ["pvc://models/iris", MODELCAR])
def test_pods_without_the_image_get_none(uri: str) -> None:
    assert "imagePullSecrets" not in mutated(plain_pod(uri), PULL)["spec"]


@pytest.mark.parametrize("present", ["x", {"name": "x"}, [1, None], 0])
def test_an_invalid_list_of_the_pod_is_left_to_the_api_server(present: Any) -> None:
    assert answer(plain_pod(S3, imagePullSecrets=present), PULL)["allowed"]


def test_cpu_limit_none() -> None:
    resources = initializer(mutated(plain_pod(S3), _settings(cpuLimit="none")))["resources"]
    assert resources == {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "1Gi"}}
    pod = plain_pod(S3, annotations={keys.CPU_LIMIT: "2"})
    assert initializer(mutated(pod, _settings(cpuLimit="none")))["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}


def test_a_request_may_be_more_than_the_limit_that_does_not_apply() -> None:
    pod = plain_pod(S3, annotations={keys.CPU_REQUEST: "8"})
    assert initializer(mutated(pod, _settings(cpuLimit="none")))["resources"]["requests"]["cpu"] == "8"


def test_a_guaranteed_pod_becomes_burstable_with_a_warning() -> None:
    amounts = {"cpu": "4", "memory": "8Gi"}
    pod = plain_pod(S3, containers=[a_container(resources={"requests": amounts, "limits": amounts})])
    assert "warnings" not in answer(pod)
    (warning,) = answer(pod, _settings(cpuLimit="none"))["warnings"]
    assert "QoS class Guaranteed is lost" in warning
    assert f"set {keys.CPU_LIMIT} above 0" in warning
    pod["metadata"]["annotations"][keys.CPU_LIMIT] = "1"
    assert "warnings" not in answer(pod, _settings(cpuLimit="none"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"cpuLimit": "2"}, "storageDefaults.cpuLimit: must be '' or 'none', not \"2\""),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy: must be 'Always', 'IfNotPresent' or 'Never'"),
        ({"imagePullSecrets": ["A b"]}, "imagePullSecrets.0: must be a name"),
        ({"imagePullSecrets": [""]}, "imagePullSecrets.0: must not be empty"),
        ({"imagePullSecrets": "mirror"}, "imagePullSecrets: must be a list"),
        ({"imagePullSecrets": [f"a{index}" for index in range(17)]}, "imagePullSecrets"),
    ],
)
def test_invalid_settings_are_named(fields: JsonObject, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(_settings(**fields))
    assert problem in str(error.value)


def test_kserves_own_key_has_no_none() -> None:
    with pytest.raises(SettingsError):
        parse({"storageInitializer": {"cpuLimit": "none"}})
