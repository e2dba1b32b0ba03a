"""Secrets with recognizable values, and pods for which the webhook reads them."""

from __future__ import annotations

import base64

from tests.cluster_objects import S3, claim, secret, service_account, storage_container
from tests.mutation import JsonObject, kserve_pod, plain_pod

PLANTED = "PLANTED-7f3a91"
"""Part of every secret value."""

SECRET_DATA = {
    "s3": ["awsAccessKeyID", "awsSecretAccessKey"],
    "gcs": ["gcloud-application-credentials.json"],
    "azure": ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_ACCESS_TOKEN", "AZURE_ACCOUNT_NAME"],
    "azure-key": ["AZURE_STORAGE_ACCESS_KEY"],
    "https": ["headers"],
    "hdfs": ["HDFS_NAMENODE", "KERBEROS_KEYTAB", "TLS_KEY"],
    "hub": ["HF_TOKEN"],
    "scope": ["MODELSCOPE_API_TOKEN"],
    "other": ["password", ".dockerconfigjson"],
}


def planted_secret(name: str, keys: list[str]) -> JsonObject:
    """A Secret whose values and unrelated annotations contain the planted value."""
    data = dict.fromkeys(keys, f'{{"type": "{PLANTED}", "Authorization": "{PLANTED}"}}')
    if name == "https":
        data["https-host"] = "models.example.com"
    applied = {"kubectl.kubernetes.io/last-applied-configuration": PLANTED, S3 + "region": "eu-west-1"}
    return secret(name, data, applied)


def planted_cluster() -> list[JsonObject]:
    """A service account with one Secret of each kind, and a storage-config Secret."""
    entry = f'{{"type": "s3", "bucket": "b", "access_key_id": "{PLANTED}", "secret_access_key": "{PLANTED}"}}'
    return [
        service_account(*SECRET_DATA, annotations={"token": PLANTED}),
        *(planted_secret(name, keys) for name, keys in SECRET_DATA.items()),
        secret("storage-config", {"default": entry, "mine": PLANTED, "bad": f"{{{PLANTED}"}),
        claim("models", "ReadWriteOnce"),
        storage_container("a", "s3://"),
    ]


INTERNAL = "internal.serving.kserve.io/"
SPEC = {INTERNAL + "storage-spec": "true"}
PLACEHOLDER = "<scheme-placeholder>://m"

PODS: dict[str, JsonObject] = {
    "service account": plain_pod("s3://b/m"),
    "named": plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": "s3"}),
    "of no known kind": plain_pod("s3://b/m", annotations={"serving.kserve.io/storageSecretName": "other"}),
    **{
        f"storage spec {key}": kserve_pod(PLACEHOLDER, annotations=SPEC | {INTERNAL + "storage-spec-key": key})
        for key in ("default", "mine", "bad", "missing")
    },
}


def leaks(value: bytes | str) -> bool:
    """Whether the planted value is contained, plain or in base64 at any offset."""
    text = value if isinstance(value, bytes) else value.encode()
    forms = {PLANTED.encode()}
    for offset in range(3):
        # The part that does not depend on the text before and after it.
        encoded = base64.b64encode(b"\0" * offset + PLANTED.encode())
        forms.add(encoded[4 if offset else 0 :].rstrip(b"=")[:-2])
    return any(form in text for form in forms)
