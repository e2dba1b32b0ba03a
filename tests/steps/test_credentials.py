"""Variables and volumes that each kind of Secret, and an AWS role, add to the init container."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import (
    S3,
    admitted,
    denial,
    initializer,
    secret,
    service_account,
    storage_container,
    variables,
    warnings,
)
from tests.mutation import JsonObject, plain_pod, several, volumes
from webhook.cluster.facts import MAX_SECRETS, Secret
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.kinds import KINDS, kind_of

ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/models"}
STS = "AWS_ENDPOINT_URL_STS"
S3_KEYS = {"awsAccessKeyID": "AKIA", "awsSecretAccessKey": "x"}
S3_REFERENCES = {"AWS_ACCESS_KEY_ID": ("s", "awsAccessKeyID"), "AWS_SECRET_ACCESS_KEY": ("s", "awsSecretAccessKey")}


def endpoint_variables(https: str | None, host: str, url: str) -> dict[str, Any]:
    return ({} if https is None else {"S3_USE_HTTPS": https}) | {"S3_ENDPOINT": host, "AWS_ENDPOINT_URL": url}


SECRETS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "s3": (S3_KEYS, S3_REFERENCES),
    "s3 takes precedence over gcs": (S3_KEYS | {"gcloud-application-credentials.json": "x"}, S3_REFERENCES),
    "s3 data": (
        S3_KEYS
        | {
            "S3_ENDPOINT": "minio:9000",
            "S3_USE_HTTPS": "0",
            "S3_VERIFY_SSL": "0",
            "awsAnonymousCredential": "true",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "S3_USER_VIRTUAL_BUCKET": "true",
            "S3_USE_ACCELERATE": "false",
            "AWS_CA_BUNDLE": "/etc/ca/ca.pem",
            "AWS_CA_BUNDLE_CONFIGMAP": "ca",
        },
        S3_REFERENCES
        | endpoint_variables("0", "minio:9000", "http://minio:9000")
        | {
            "S3_VERIFY_SSL": "0",
            "awsAnonymousCredential": "true",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "S3_USER_VIRTUAL_BUCKET": "true",
            "S3_USE_ACCELERATE": "false",
            "AWS_CA_BUNDLE": "/etc/ca/ca.pem",
            "AWS_CA_BUNDLE_CONFIGMAP": "ca",
        },
    ),
    "s3 trailing newline": (
        S3_KEYS | {"AWS_DEFAULT_REGION": "eu-west-1\n"},
        S3_REFERENCES | {"AWS_DEFAULT_REGION": "eu-west-1"},
    ),
    "azure": (
        {"AZURE_CLIENT_ID": "x", "AZURE_CLIENT_SECRET": "x", "AZURE_TENANT_ID": "x", "AZURE_SUBSCRIPTION_ID": "x"},
        {
            "AZURE_SUBSCRIPTION_ID": ("s", "AZURE_SUBSCRIPTION_ID"),
            "AZURE_TENANT_ID": ("s", "AZURE_TENANT_ID"),
            "AZURE_CLIENT_ID": ("s", "AZURE_CLIENT_ID"),
            "AZURE_CLIENT_SECRET": ("s", "AZURE_CLIENT_SECRET"),
        },
    ),
    "azure, legacy names": (
        {"AZ_CLIENT_ID": "x", "AZ_CLIENT_SECRET": "x", "AZ_TENANT_ID": "x", "AZ_SUBSCRIPTION_ID": "x"},
        {
            "AZURE_SUBSCRIPTION_ID": ("s", "AZ_SUBSCRIPTION_ID"),
            "AZURE_TENANT_ID": ("s", "AZ_TENANT_ID"),
            "AZURE_CLIENT_ID": ("s", "AZ_CLIENT_ID"),
            "AZURE_CLIENT_SECRET": ("s", "AZ_CLIENT_SECRET"),
        },
    ),
    "azure, both names": (
        {"AZ_CLIENT_ID": "x", "AZURE_CLIENT_ID": "x", "AZURE_TENANT_ID": "x"},
        {"AZURE_TENANT_ID": ("s", "AZURE_TENANT_ID"), "AZURE_CLIENT_ID": ("s", "AZ_CLIENT_ID")},
    ),
    "azure access token": (
        {
            "AZURE_ACCESS_TOKEN": "x",
            "AZURE_ACCESS_EXPIRES_ON_SECONDS": "9",
            "AZURE_ACCOUNT_NAME": "a",
            "AZURE_SERVICE_URL": "https://a.blob.core.windows.net",
        },
        {
            "AZURE_TENANT_ID": ("s", "AZURE_TENANT_ID", "optional"),
            "AZURE_ACCESS_TOKEN": ("s", "AZURE_ACCESS_TOKEN"),
            "AZURE_ACCESS_EXPIRES_ON_SECONDS": ("s", "AZURE_ACCESS_EXPIRES_ON_SECONDS"),
            "AZURE_ACCOUNT_NAME": ("s", "AZURE_ACCOUNT_NAME"),
            "AZURE_SERVICE_URL": ("s", "AZURE_SERVICE_URL"),
        },
    ),
    "azure, with an access key": (
        {"AZURE_CLIENT_ID": "x", "AZURE_TENANT_ID": "x", "AZURE_STORAGE_ACCESS_KEY": "x"},
        {
            "AZURE_TENANT_ID": ("s", "AZURE_TENANT_ID"),
            "AZURE_CLIENT_ID": ("s", "AZURE_CLIENT_ID"),
            "AZURE_STORAGE_ACCESS_KEY": ("s", "AZURE_STORAGE_ACCESS_KEY"),
        },
    ),
    "azure access key": (
        {"AZURE_STORAGE_ACCESS_KEY": "x"},
        {"AZURE_STORAGE_ACCESS_KEY": ("s", "AZURE_STORAGE_ACCESS_KEY")},
    ),
    "https": (
        {"https-host": "models.example.com\n", "headers": '{"Authorization": "x"}'},
        {"models.example.com-headers": ("s", "headers")},
    ),
    "https without headers": ({"https-host": "models.example.com"}, {}),
    "hugging face": ({"HF_TOKEN": "x"}, {"HF_TOKEN": ("s", "HF_TOKEN")}),
    "modelscope": ({"MODELSCOPE_API_TOKEN": "x"}, {"MODELSCOPE_API_TOKEN": ("s", "MODELSCOPE_API_TOKEN")}),
    "something else": ({".dockerconfigjson": "{}"}, {}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize(("data", "expected"), SECRETS.values(), ids=SECRETS)
def test_secret_of_the_service_account(data: dict[str, str], expected: dict[str, Any]) -> None:
    found = variables(initializer(plain_pod("s3://b/m"), service_account("s"), secret("s", data)))
    assert list(found.items()) == list(expected.items())


S3_ENDPOINTS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "https by default": ({S3 + "endpoint": "h"}, endpoint_variables(None, "h", "https://h")),
    "not https": ({S3 + "endpoint": "h", S3 + "usehttps": "0"}, endpoint_variables("0", "h", "http://h")),
    "https": ({S3 + "endpoint": "h", S3 + "usehttps": "1"}, endpoint_variables("1", "h", "https://h")),
    "a scheme takes precedence": (
        {S3 + "endpoint": "HTTP://h/p", S3 + "usehttps": "1"},
        endpoint_variables("0", "h/p", "HTTP://h/p"),
    ),
    "https in the endpoint": (
        {S3 + "endpoint": " https://h ", S3 + "usehttps": "0"},
        endpoint_variables("1", "h", "https://h"),
    ),
    "empty": ({S3 + "endpoint": "", S3 + "usehttps": "0"}, {}),
    "no endpoint": ({S3 + "usehttps": "0"}, {}),
    "false is 0": ({S3 + "endpoint": "h", S3 + "usehttps": "false"}, endpoint_variables("0", "h", "http://h")),
    "true is 1": ({S3 + "endpoint": "h", S3 + "usehttps": " True "}, endpoint_variables("1", "h", "https://h")),
    "false and true for certificates": ({S3 + "verifyssl": "FALSE"}, {"S3_VERIFY_SSL": "0"}),
    "others": (
        {
            S3 + "verifyssl": "0",
            S3 + "useanoncredential": "true",
            S3 + "region": "r",
            S3 + "usevirtualbucket": "true",
            S3 + "useaccelerate": "true",
            S3 + "cabundle": "/c/ca.pem",
            S3 + "cabundle-configmap": "c",
        },
        {
            "S3_VERIFY_SSL": "0",
            "awsAnonymousCredential": "true",
            "AWS_DEFAULT_REGION": "r",
            "S3_USER_VIRTUAL_BUCKET": "true",
            "S3_USE_ACCELERATE": "true",
            "AWS_CA_BUNDLE": "/c/ca.pem",
            "AWS_CA_BUNDLE_CONFIGMAP": "c",
        },
    ),
}


@pytest.mark.parametrize(("annotations", "expected"), S3_ENDPOINTS.values(), ids=S3_ENDPOINTS)
def test_s3_annotations_of_the_secret(annotations: dict[str, str], expected: dict[str, Any]) -> None:
    found = variables(initializer(plain_pod("s3://b/m"), service_account("s"), secret("s", S3_KEYS, annotations)))
    assert list(found.items()) == list((S3_REFERENCES | expected).items())


@pytest.mark.parametrize(("annotations", "expected"), S3_ENDPOINTS.values(), ids=S3_ENDPOINTS)
def test_s3_annotations_of_a_service_account_with_a_role(annotations: dict[str, str], expected: dict[str, Any]) -> None:
    found = variables(initializer(plain_pod("s3://b/m"), service_account(annotations=ROLE | annotations)))
    assert ("AWS_ENDPOINT_URL" in found) == (STS in found)
    found.pop(STS, None)
    assert list(found.items()) == list(expected.items())


@pytest.mark.parametrize(("annotations", "expected"), S3_ENDPOINTS.values(), ids=S3_ENDPOINTS)
def test_s3_annotations_of_a_service_account_without_a_role(
    annotations: dict[str, str], expected: dict[str, Any]
) -> None:
    found = initializer(plain_pod("s3://b/m"), service_account(annotations=annotations))
    assert list(variables(found).items()) == list(expected.items())


CONNECTION = {"credentials": {"s3": {"s3Endpoint": "minio.minio:9000", "s3UseHttps": "0", "s3Region": "setting"}}}
ACCOUNTS: dict[str, tuple[list[JsonObject], dict[str, Any]]] = {
    "only the settings": (
        [service_account()],
        endpoint_variables("0", "minio.minio:9000", "http://minio.minio:9000") | {"AWS_DEFAULT_REGION": "setting"},
    ),
    "no service account": (
        [],
        endpoint_variables("0", "minio.minio:9000", "http://minio.minio:9000") | {"AWS_DEFAULT_REGION": "setting"},
    ),
    "annotations before settings": (
        [service_account(annotations={S3 + "endpoint": "minio.ns:9000", S3 + "region": "eu-west-1"})],
        endpoint_variables("0", "minio.ns:9000", "http://minio.ns:9000") | {"AWS_DEFAULT_REGION": "eu-west-1"},
    ),
    "beside a Secret of another kind": (
        [service_account("hub", annotations={S3 + "endpoint": "https://h"}), secret("hub", {"HF_TOKEN": "x"})],
        endpoint_variables("1", "h", "https://h") | {"AWS_DEFAULT_REGION": "setting", "HF_TOKEN": ("hub", "HF_TOKEN")},
    ),
    "a Secret with access keys": (
        [service_account("s", annotations={S3 + "verifyssl": "0"}), secret("s", S3_KEYS, {S3 + "endpoint": "h"})],
        S3_REFERENCES | endpoint_variables("0", "h", "http://h") | {"AWS_DEFAULT_REGION": "setting"},
    ),
}


@pytest.mark.parametrize(("objects", "expected"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_s3_values_without_a_role(objects: list[JsonObject], expected: dict[str, Any]) -> None:
    pod = plain_pod("s3://b/m")
    assert list(variables(initializer(pod, *objects, settings=CONNECTION)).items()) == list(expected.items())
    assert warnings(pod, *objects, settings=CONNECTION) == []


@pytest.mark.parametrize("uri", ["https://h/m", "gs://b/m", "hf://o/m", "hdfs://h/m", "models://m", "oci+fetch://r/m"])
def test_s3_values_are_only_for_s3(uri: str) -> None:
    account = service_account(annotations={S3 + "region": "r"})
    settings = CONNECTION | {"storageInitializer": {"enableModelcar": True}}
    assert variables(initializer(plain_pod(uri), account, settings=settings)) == {}


def test_s3_values_for_one_of_several_models() -> None:
    pod = several(("hf://o/m", "/mnt/one"), ("s3://b/m", "/mnt/two"))
    assert variables(initializer(pod, service_account(annotations={S3 + "region": "r"}))) == {"AWS_DEFAULT_REGION": "r"}


REGIONS = {
    "": "sts.amazonaws.com",
    "us-east-2": "sts.us-east-2.amazonaws.com",
    "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
    "cn-north-1": "sts.cn-north-1.amazonaws.com.cn",
    "us-iso-east-1": "sts.us-iso-east-1.c2s.ic.gov",
    "us-isob-east-1": "sts.us-isob-east-1.sc2s.sgov.gov",
    "us-isof-south-1": "sts.us-isof-south-1.csp.hci.ic.gov",
    "eu-isoe-west-1": "sts.eu-isoe-west-1.cloud.adc-e.uk",
    "eusc-de-east-1": "sts.eusc-de-east-1.amazonaws.eu",
    "auto": "sts.amazonaws.com",
    "x.example.com/#-1": "sts.amazonaws.com",
}


@pytest.mark.parametrize(("region", "host"), REGIONS.items())
@pytest.mark.parametrize("where", ["annotation", "setting", "AWS_REGION", "AWS_DEFAULT_REGION"])
def test_sts_endpoint_of_a_role_with_an_s3_endpoint(region: str, host: str, where: str) -> None:
    annotations = {S3 + "endpoint": "s3.amazonaws.com"} | ({S3 + "region": region} if where == "annotation" else {})
    settings = {"credentials": {"s3": {"s3Region": region}}} if where == "setting" else {}
    env = [{"name": where, "value": region}] if where.startswith("AWS") else []
    custom = storage_container("custom", "s3://", container={"image": "c:1", "env": env})
    account = service_account(annotations=ROLE | annotations)
    found = variables(initializer(plain_pod("s3://b/m"), account, custom, settings=settings))
    assert found["AWS_ENDPOINT_URL"] == "https://s3.amazonaws.com"
    assert found[STS] == f"https://{host}"


@pytest.mark.parametrize(
    ("partition", "host"),
    [
        ("aws", "sts.amazonaws.com"),
        ("aws-us-gov", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_sts_endpoint_without_a_region_is_in_the_partition_of_the_role(partition: str, host: str) -> None:
    role = dict.fromkeys(ROLE, f"arn:{partition}:iam::111122223333:role/r")
    account = service_account(annotations=role | {S3 + "endpoint": "minio:9000"})
    assert variables(initializer(plain_pod("s3://b/m"), account))[STS] == f"https://{host}"


NO_STS: dict[str, list[JsonObject]] = {
    "no endpoint": [service_account(annotations=ROLE | {S3 + "region": "us-east-2"})],
    "no role": [service_account(annotations={S3 + "endpoint": "h"})],
    "an empty role": [service_account(annotations=dict.fromkeys(ROLE, "") | {S3 + "endpoint": "h"})],
    "access keys": [service_account("s", annotations=ROLE | {S3 + "endpoint": "h"}), secret("s", S3_KEYS)],
}


@pytest.mark.parametrize("objects", NO_STS.values(), ids=NO_STS)
def test_no_sts_endpoint(objects: list[JsonObject]) -> None:
    assert STS not in variables(initializer(plain_pod("s3://b/m"), *objects))


def test_sts_endpoint_of_a_storage_container_takes_precedence() -> None:
    env = [{"name": STS, "value": "https://minio"}]
    custom = storage_container("custom", "s3://", container={"image": "c:1", "env": env})
    account = service_account(annotations=ROLE | {S3 + "endpoint": "minio"})
    assert variables(initializer(plain_pod("s3://b/m"), account, custom))[STS] == "https://minio"


def test_s3_precedence_of_annotation_key_and_setting() -> None:
    settings = {"credentials": {"s3": {"s3Region": "setting", "s3VerifySSL": "setting", "s3UseAccelerate": "setting"}}}
    data = S3_KEYS | {"AWS_DEFAULT_REGION": "key", "S3_VERIFY_SSL": "key"}
    found = variables(
        initializer(
            plain_pod("s3://b/m"),
            service_account("s"),
            secret("s", data, {S3 + "region": "annotation"}),
            settings=settings,
        )
    )
    assert found == S3_REFERENCES | {
        "AWS_DEFAULT_REGION": "annotation",
        "S3_VERIFY_SSL": "key",
        "S3_USE_ACCELERATE": "setting",
    }


def test_secret_takes_precedence_over_the_role() -> None:
    account = service_account("s", annotations=ROLE | {S3 + "region": "role", S3 + "verifyssl": "0"})
    found = variables(initializer(plain_pod("s3://b/m"), account, secret("s", S3_KEYS, {S3 + "region": "secret"})))
    assert found == {"AWS_DEFAULT_REGION": "secret", "S3_VERIFY_SSL": "0"} | S3_REFERENCES


def test_key_names_from_the_settings() -> None:
    settings = {
        "credentials": {
            "s3": {"s3AccessKeyIDName": "id", "s3SecretAccessKeyName": "key"},
            "gcs": {"gcsCredentialFileName": "gcs.json"},
        }
    }
    account = service_account("s", "g")
    found = variables(
        initializer(
            plain_pod("s3://b/m"), account, secret("s", {"key": "x"}), secret("g", {"gcs.json": "x"}), settings=settings
        )
    )
    assert found == {
        "AWS_ACCESS_KEY_ID": ("s", "id"),
        "AWS_SECRET_ACCESS_KEY": ("s", "key"),
        "GOOGLE_APPLICATION_CREDENTIALS": "/var/secrets/gcs.json",
    }


VOLUMES = {
    "gcs": ("gcloud-application-credentials.json", "user-gcp-sa", "/var/secrets/"),
    "hdfs": ("HDFS_NAMENODE", "hdfs-secrets", "/var/secrets/kserve-hdfscreds"),
}


@pytest.mark.parametrize(("key", "volume", "path"), VOLUMES.values(), ids=VOLUMES)
def test_mounted_secrets(key: str, volume: str, path: str) -> None:
    pod = admitted(plain_pod("gs://b/m"), service_account("s"), secret("s", {key: "x"}))
    assert volumes(pod)[volume] == {"secret": {"secretName": "s"}}
    (container,) = pod["spec"]["initContainers"]
    assert {"name": volume, "mountPath": path, "readOnly": True} in container["volumeMounts"]
    (server,) = pod["spec"]["containers"]
    assert volume not in [mount["name"] for mount in server["volumeMounts"]]


def test_gcs_key_file_variable() -> None:
    file = "gcloud-application-credentials.json"
    found = initializer(plain_pod("gs://b/m"), service_account("s"), secret("s", {file: "x"}))
    assert variables(found) == {"GOOGLE_APPLICATION_CREDENTIALS": f"/var/secrets/{file}"}


def test_all_secrets_of_the_service_account_are_used_in_order() -> None:
    found = initializer(
        plain_pod("s3://b/m"),
        service_account("hub", "one", "two"),
        secret("hub", {"HF_TOKEN": "x"}),
        secret("one", {"https-host": "a", "headers": "{}"}),
        secret("two", {"https-host": "b", "headers": "{}"}),
    )
    assert list(variables(found).items()) == [
        ("HF_TOKEN", ("hub", "HF_TOKEN")),
        ("a-headers", ("one", "headers")),
        ("b-headers", ("two", "headers")),
    ]


@pytest.mark.parametrize("key", ["awsSecretAccessKey", "gcloud-application-credentials.json", "HDFS_NAMENODE"])
def test_first_of_two_conflicting_secrets_is_used_with_a_warning(key: str) -> None:
    objects = [service_account("one", "two"), secret("one", {key: "x"}), secret("two", {key: "x"})]
    (warning,) = warnings(plain_pod("s3://b/m"), *objects)
    assert 'only "one" is used' in warning
    pod = admitted(plain_pod("s3://b/m"), *objects)
    assert pod == admitted(plain_pod("s3://b/m"), service_account("one"), *objects[1:])


NAMED = {"serving.kserve.io/storageSecretName": "mine"}


def test_secret_named_by_the_pod_replaces_those_of_the_service_account() -> None:
    objects = [service_account("hub"), secret("hub", {"HF_TOKEN": "x"}), secret("mine", S3_KEYS)]
    found = variables(initializer(plain_pod("s3://b/m", annotations=NAMED), *objects))
    assert found == {
        "AWS_ACCESS_KEY_ID": ("mine", "awsAccessKeyID"),
        "AWS_SECRET_ACCESS_KEY": ("mine", "awsSecretAccessKey"),
    }


def test_secret_name_annotation_from_the_settings() -> None:
    settings = {"credentials": {"storageSecretNameAnnotation": "example.com/secret"}}
    pod = plain_pod("s3://b/m", annotations={"example.com/secret": "mine", **NAMED})
    found = variables(initializer(pod, service_account(), secret("mine", {"HF_TOKEN": "x"}), settings=settings))
    assert found == {"HF_TOKEN": ("mine", "HF_TOKEN")}


def test_service_account_of_the_pod_is_used() -> None:
    objects = [service_account("s", name="robot"), service_account(), secret("s", {"HF_TOKEN": "x"})]
    assert variables(initializer(plain_pod("s3://b/m", serviceAccountName="robot"), *objects)) == {
        "HF_TOKEN": ("s", "HF_TOKEN")
    }
    assert variables(initializer(plain_pod("s3://b/m"), *objects)) == {}


def test_missing_service_account_is_ignored() -> None:
    assert variables(initializer(plain_pod("s3://b/m", serviceAccountName="robot"))) == {}


MISSING: dict[str, tuple[JsonObject, list[JsonObject], str]] = {
    "listed": (plain_pod("s3://b/m"), [service_account("gone")], 'named by service account "default"'),
    "named": (
        plain_pod("s3://b/m", annotations={**NAMED}),
        [service_account()],
        "named by annotation serving.kserve.io/storageS",
    ),
    "no name at all": (
        plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": ""}),
        [service_account()],
        'Secret "" in namespace "models"',
    ),
}


@pytest.mark.parametrize(("pod", "objects", "words"), MISSING.values(), ids=MISSING)
def test_missing_secret_is_denied(pod: JsonObject, objects: list[JsonObject], words: str) -> None:
    message = denial(pod, *objects)
    assert words in message
    assert "does not exist" in message


@pytest.mark.parametrize("host", ["", "a b", "a=b", "a\nb", "ü"])
def test_invalid_host_is_denied_without_its_value(host: str) -> None:
    message = denial(plain_pod("https://h/m"), service_account("s"), secret("s", {"https-host": host, "headers": "{}"}))
    assert "https-host" in message
    assert not host or host not in message


BAD_HOST = secret("web", {"https-host": "https://models.example.com/", "headers": "{}"})
GOOD_HOST = secret("good", {"https-host": "h", "headers": "{}"})
NOT_NEEDED: dict[str, tuple[str, list[JsonObject]]] = {
    "s3": ("s3://b/m", [service_account("web"), BAD_HOST]),
    "hugging face": ("hf://o/m", [service_account("web"), BAD_HOST]),
    "a scheme of one's own": ("models://m", [service_account("web"), BAD_HOST, storage_container("c", "models://")]),
    "headers of another Secret": ("https://h/m", [service_account("web", "good"), BAD_HOST, GOOD_HOST]),
}


@pytest.mark.parametrize(("uri", "objects"), NOT_NEEDED.values(), ids=NOT_NEEDED)
def test_invalid_host_does_not_deny_a_download_that_does_not_need_it(uri: str, objects: list[JsonObject]) -> None:
    (warning,) = warnings(plain_pod(uri), *objects)
    assert 'Secret "web" is not used' in warning
    assert "https-host" in warning
    assert "models.example.com/" not in warning


HOSTS = {
    "https://H/m": "h",
    "https://user@h:8443/m": "h",
    "http://[2001:db8::1]:80/m": "2001:db8::1",
    "https://h?x=a@b": "h",
}


@pytest.mark.parametrize(("uri", "host"), HOSTS.items())
def test_host_of_a_uri_with_headers(uri: str, host: str) -> None:
    good = secret("good", {"https-host": host, "headers": "{}"})
    (warning,) = warnings(plain_pod(uri), service_account("web", "good"), BAD_HOST, good)
    assert 'Secret "web"' in warning


@pytest.mark.parametrize("uri", ["http://models.example.com/m", "https://other/m", "https://[/m"])
def test_invalid_host_denies_a_download_that_may_need_it(uri: str) -> None:
    assert "https-host" in denial(plain_pod(uri), service_account("web", "good"), BAD_HOST, GOOD_HOST)


TAKEN = {"gs": ("gcloud-application-credentials.json", "user-gcp-sa"), "hdfs": ("HDFS_NAMENODE", "hdfs-secrets")}


@pytest.mark.parametrize(("key", "volume"), TAKEN.values(), ids=TAKEN)
def test_volume_in_use_denies_only_a_download_that_may_need_it(key: str, volume: str) -> None:
    taken = {"volumes": [{"name": volume, "configMap": {"name": "c"}}]}
    objects = [service_account("s"), secret("s", {key: "x"})]
    (scheme,) = (scheme for scheme, pair in TAKEN.items() if pair[1] == volume)
    assert volume in denial(plain_pod(f"{scheme}://b/m", **taken), *objects)
    (warning,) = warnings(plain_pod("s3://b/m", **taken), *objects)
    assert 'Secret "s" is not used' in warning


CLUSTER = [service_account("s", annotations=ROLE | {S3 + "region": "r"}), secret("s", S3_KEYS)]


@pytest.mark.parametrize("uri", ["pvc://models/iris", "pvc://models/iris/model.joblib"])
@pytest.mark.parametrize("how", ["direct", "copy"])
def test_no_credentials_for_claims(uri: str, how: str) -> None:
    pod = plain_pod(uri, annotations={"storage.kserve.io/pvc-mount": how})
    assert admitted(pod, *CLUSTER) == admitted(pod)


def test_nothing_is_added_when_credentials_are_disabled() -> None:
    pod = plain_pod("s3://b/m")
    assert admitted(pod, *CLUSTER, settings={"credentials": {"enabled": False}}) == admitted(pod)


def test_number_of_secrets_is_limited() -> None:
    names = [f"s{number}" for number in range(MAX_SECRETS + 1)]
    held = [service_account(*names), *(secret(name, {}) for name in names[:-1])]
    (warning,) = warnings(plain_pod("s3://b/m"), *held)
    assert f"lists {MAX_SECRETS + 1} Secrets" in warning
    assert warnings(plain_pod("s3://b/m", annotations=NAMED), *held, secret("mine", S3_KEYS)) == []


def test_every_kind_of_secret_is_tested() -> None:
    expected_keys = [set(data) for data, _ in SECRETS.values()] + [{key} for key, _, _ in VOLUMES.values()]
    kinds = {kind_of(Secret(frozenset(keys)), Credentials()) for keys in expected_keys} - {None}
    assert kinds == set(KINDS)


@pytest.mark.parametrize(
    "keys_of_secret", [("awsAccessKeyID", "AWS_SECRET_ACCESS_KEY"), ("AWS_ACCESS_KEY_ID", "awsSecretAccessKey")]
)
def test_the_two_keys_of_an_s3_secret_may_be_spelled_differently(keys_of_secret):
    found = kind_of(Secret(frozenset(keys_of_secret)), Credentials())
    assert found is not None
    credential = found.credential("s", Secret(frozenset(keys_of_secret)), Credentials())
    assert {each["valueFrom"]["secretKeyRef"]["key"] for each in credential.variables} == set(keys_of_secret)
