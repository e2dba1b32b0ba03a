"""Kinds of Secrets with credentials, recognized by their keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from webhook.cluster.facts import Secret
from webhook.settings.model import Credentials
from webhook.steps.credentials import azure, gcs, hdfs, https, s3, tokens
from webhook.steps.credentials.credential import Credential


class SecretKind(NamedTuple):
    """A kind of Secret with credentials."""

    name: str
    identifying_keys: Callable[[Credentials], tuple[str, ...]]
    """A Secret with any of these keys is of this kind."""
    credential: Callable[[str, Secret, Credentials], Credential]
    """Makes the credential from the Secret's name and facts."""
    single: bool = False
    """Only the first Secret of this kind is used, because two of them would conflict."""


def _keys(*names: str) -> Callable[[Credentials], tuple[str, ...]]:
    return lambda settings: names


# The first match determines the kind. The order is KServe's.
KINDS: tuple[SecretKind, ...] = (
    SecretKind("S3", lambda settings: tuple(secret for _, secret in settings.s3.key_names), s3.credential, single=True),
    SecretKind("GCS", lambda settings: (settings.gcs.gcs_credential_file_name,), gcs.credential, single=True),
    SecretKind("Azure", _keys("AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN"), azure.credential),
    SecretKind("Azure access key", _keys(azure.ACCESS_KEY), azure.access_key),
    SecretKind("HTTPS", _keys(https.HOST), https.credential),
    SecretKind("HDFS", _keys("HDFS_NAMENODE"), hdfs.credential, single=True),
    SecretKind("Hugging Face", _keys(tokens.HUGGING_FACE), tokens.hugging_face),
    SecretKind("ModelScope", _keys(tokens.MODELSCOPE), tokens.modelscope),
)


def kind_of(secret: Secret, settings: Credentials) -> SecretKind | None:
    """The kind of a Secret by its keys; None when it contains no known credentials."""
    return next((kind for kind in KINDS if not secret.keys.isdisjoint(kind.identifying_keys(settings))), None)
