"""What kinds of Secrets there are, and how they are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from webhook.facts import Secret
from webhook.settings.model import Credentials
from webhook.steps.credentials import azure, gcs, hdfs, https, s3, tokens
from webhook.steps.credentials.credential import Credential


class SecretKind(NamedTuple):
    """A kind of Secret with credentials."""

    name: str
    marks: Callable[[Credentials], tuple[str, ...]]
    """The keys, any of which a Secret of this kind has."""
    credential: Callable[[str, Secret, Credentials], Credential]
    """What a Secret of this kind, by name and facts, adds to the init container."""
    single: bool = False
    """Two of this kind would mix, or stand in each other's way: the first one counts."""


def _keys(*names: str) -> Callable[[Credentials], tuple[str, ...]]:
    return lambda settings: names


# The first kind that matches is the Secret's kind; the order is KServe's.
KINDS: tuple[SecretKind, ...] = (
    SecretKind("S3", lambda settings: (settings.s3.s3_secret_access_key_name,), s3.credential, single=True),
    SecretKind("GCS", lambda settings: (settings.gcs.gcs_credential_file_name,), gcs.credential, single=True),
    SecretKind("Azure", _keys("AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN"), azure.credential),
    SecretKind("Azure access key", _keys(azure.ACCESS_KEY), azure.access_key),
    SecretKind("HTTPS", _keys(https.HOST), https.credential),
    SecretKind("HDFS", _keys("HDFS_NAMENODE"), hdfs.credential, single=True),
    SecretKind("Hugging Face", _keys(tokens.HUGGING_FACE), tokens.hugging_face),
    SecretKind("ModelScope", _keys(tokens.MODELSCOPE), tokens.modelscope),
)


def kind_of(secret: Secret, settings: Credentials) -> SecretKind | None:
    """The kind that a Secret is of, by its keys; None when it holds no credentials that we know."""
    return next((kind for kind in KINDS if not secret.keys.isdisjoint(kind.marks(settings))), None)
