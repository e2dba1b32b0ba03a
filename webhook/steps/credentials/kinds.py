"""Kinds of Secrets with credentials, recognized by their keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from webhook import uri as storage_uri
from webhook.by_identity import cached_by_identity
from webhook.cluster.facts import Secret
from webhook.request.model_request import ModelRequest
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials import azure, gcs, hdfs, https, s3, tokens
from webhook.steps.credentials.credential import Credential


class SecretKind(NamedTuple):
    """A kind of Secret with credentials."""

    name: str
    schemes: tuple[str, ...]
    """The schemes of the URIs that these credentials are for."""
    keys: Callable[[Credentials], tuple[tuple[str, ...], ...]]
    """The keys, in one or more spellings. The first key of each identifies the kind, the others belong to it."""
    credential: Callable[[str, Secret, Credentials], Credential]
    """Makes the credential from the Secret's name and facts."""
    single: bool = False
    """Only the first Secret of this kind is used, because two of them would conflict."""

    def is_for(self, uri: str) -> bool:
        """Whether a download from this URI may need credentials of this kind."""
        return storage_uri.scheme(uri) in self.schemes


def _keys(*spellings: str) -> Callable[[Credentials], tuple[tuple[str, ...], ...]]:
    found = tuple(tuple(spelling.split()) for spelling in spellings)
    return lambda settings: found


def _s3_keys(settings: Credentials) -> tuple[tuple[str, ...], ...]:
    return tuple((secret_key, key_id) for key_id, secret_key in settings.s3.key_names)


def _gcs_keys(settings: Credentials) -> tuple[tuple[str, ...], ...]:
    return ((settings.gcs.gcs_credential_file_name,),)


S3_KIND = SecretKind("S3", ("s3",), _s3_keys, s3.credential, single=True)

# The first match determines the kind. The order is KServe's.
KINDS: tuple[SecretKind, ...] = (
    S3_KIND,
    SecretKind("GCS", ("gs",), _gcs_keys, gcs.credential, single=True),
    SecretKind("Azure", ("https",), _keys("AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN"), azure.credential),
    SecretKind("Azure access key", ("https",), _keys(azure.ACCESS_KEY), azure.access_key),
    SecretKind("HTTPS", ("http", "https"), _keys(f"{https.HOST} {https.HEADERS}"), https.credential),
    SecretKind("HDFS", ("hdfs", "webhdfs"), _keys("HDFS_NAMENODE"), hdfs.credential, single=True),
    SecretKind("Hugging Face", ("hf",), _keys(tokens.HUGGING_FACE), tokens.hugging_face),
    SecretKind("ModelScope", ("modelscope",), _keys(tokens.MODELSCOPE), tokens.modelscope),
)


@cached_by_identity()
def kind_of(secret: Secret, settings: Credentials) -> SecretKind | None:
    """The kind of a Secret by its keys; None when it contains no known credentials."""
    return next((kind for kind in KINDS if any(keys[0] in secret.keys for keys in kind.keys(settings))), None)


@cached_by_identity()
def credential_of(kind: SecretKind, name: str, secret: Secret, settings: Credentials) -> Credential:
    """What a Secret of this kind adds to the init container. Raises Denied when it cannot be used."""
    return kind.credential(name, secret, settings)


def known_keys(request: ModelRequest, settings: Credentials) -> list[str]:
    """The keys of all kinds, for messages: first those for the request's URIs. Keys that belong together are one."""
    uris = [source.uri for source in request.downloaded]
    kinds = sorted(KINDS, key=lambda kind: not any(map(kind.is_for, uris)))
    return [" with ".join(keys) for kind in kinds for keys in kind.keys(settings)]
