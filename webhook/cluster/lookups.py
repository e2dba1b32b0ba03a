"""The lookups of a request: which facts it needs, from a cluster or a file of manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from webhook import annotations as keys
from webhook.cluster.facts import (
    NO_FACTS,
    Claim,
    Facts,
    PullSecret,
    Secret,
    ServiceAccount,
    StorageEntry,
)
from webhook.cluster.kinds import (
    CLAIM,
    OPTIONAL_CLAIM,
    PULL_SECRET,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CONFIG,
    STORAGE_CONTAINERS,
    Key,
    is_data_key,
)
from webhook.request.model_request import ModelRequest
from webhook.request.shared_cache import cache_claim
from webhook.settings.model import Settings
from webhook.storage_container import StorageContainer

T = TypeVar("T")

MAX_PULL_SECRETS = 16
"""The number of Secrets in a pod's imagePullSecrets that are looked up."""


def always(found: object) -> bool:
    """Accept every fact."""
    return True


class Read(Protocol):
    """Returns the fact of one object; None when it does not exist."""

    def __call__(self, key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
        """`suffices` says whether a cached fact is recent enough, or must be read again like a missing object."""


def gather(request: ModelRequest, settings: Settings, read: Read) -> Facts:
    """Read the facts of a request. A pod that only mounts claims needs none, unless claims are checked."""
    claims = _claims(request, settings, read)
    if request.literal_headers and settings.credentials.enabled:
        account = read(Key(SERVICE_ACCOUNT, request.namespace, request.service_account))
        return Facts(account, _secrets(request, settings, account, read), claims=claims)
    if not request.downloaded:
        return Facts(claims=claims) if claims else NO_FACTS
    containers, pull_secrets = _storage_containers(request, read), _pull_secrets(request, settings, read)
    account, secrets, storage_configs = _credentials(request, settings, read)
    return Facts(account, secrets, storage_configs, containers, claims, pull_secrets)


def _credentials(
    request: ModelRequest, settings: Settings, read: Read
) -> tuple[ServiceAccount | None, Mapping[str, Secret | None], Mapping[str, Mapping[str, StorageEntry] | None]]:
    """The service account, its Secrets or the one that the pod names, and the entries of the storage-config Secret."""
    if not takes_credentials(request, settings):
        return None, {}, {}
    has_spec = has_storage_spec(request)
    storage_configs = _storage_config(request, settings, read) if has_spec else {}
    if has_spec and not cache_claim(request, settings):
        return None, {}, storage_configs
    # With a storage spec too: the shared cache needs the account's identity.
    account = read(Key(SERVICE_ACCOUNT, request.namespace, request.service_account))
    return account, {} if has_spec else _secrets(request, settings, account, read), storage_configs


def takes_credentials(request: ModelRequest, settings: Settings) -> bool:
    """Whether the init container gets credentials: only if it downloads from storage."""
    return settings.credentials.enabled and downloads_from_storage(request)


def downloads_from_storage(request: ModelRequest) -> bool:
    """Whether the init container downloads other than from claims and OCI registries.

    As in KServe, a registry's credentials are the pod's imagePullSecrets.
    """
    return any(source.claim is None and source.image is None for source in request.downloaded)


def has_storage_spec(request: ModelRequest) -> bool:
    """Whether the credentials are in the storage-config Secret (KServe: `spec.predictor.model.storage`)."""
    return request.annotations.get(keys.STORAGE_SPEC) == "true"


def storage_secret(request: ModelRequest, settings: Settings) -> str:
    """The name of the storage-config Secret: from the pod's annotation, or from the settings."""
    named = named_secret(request, settings)
    return settings.credentials.storage_spec_secret_name if named is None else named


def named_secret(request: ModelRequest, settings: Settings) -> str | None:
    """The Secret that the pod names for its credentials, or None."""
    for annotation in settings.credentials.secret_annotations:
        if annotation in request.annotations:
            return request.annotations[annotation]
    return None


def secret_annotation(request: ModelRequest, settings: Settings) -> str:
    """The annotation by which the pod names the Secret with its credentials, or could name it."""
    known = settings.credentials.secret_annotations
    return next((annotation for annotation in known if annotation in request.annotations), known[0])


def _secrets(
    request: ModelRequest, settings: Settings, account: ServiceAccount | None, read: Read
) -> Mapping[str, Secret | None]:
    named = named_secret(request, settings)
    names: Iterable[str] = (account.secrets if account else ()) if named is None else (named,)
    data_keys = settings.credentials.gcs.gcs_credential_file_name, settings.credentials.s3.s3_secret_access_key_name
    return {name: read(Key(SECRET, request.namespace, name, data_keys)) for name in names}


def _pull_secrets(request: ModelRequest, settings: Settings, read: Read) -> Mapping[str, PullSecret | None]:
    names = request.pull_secrets[:MAX_PULL_SECRETS] if settings.credentials.enabled else ()
    return {name: read(Key(PULL_SECRET, request.namespace, name)) for name in names}


def _storage_config(
    request: ModelRequest, settings: Settings, read: Read
) -> Mapping[str, Mapping[str, StorageEntry] | None]:
    name, entry = storage_secret(request, settings), request.annotations.get(keys.STORAGE_SPEC_KEY)
    named = (entry,) if entry and is_data_key(entry) else ()
    key = Key(STORAGE_CONFIG, request.namespace, name, named)
    return {name: read(key, lambda found: all(entry in found for entry in named))}


def _storage_containers(request: ModelRequest, read: Read) -> tuple[StorageContainer, ...]:
    name = request.annotations.get(keys.STORAGE_CONTAINER_NAME)
    found = read(Key(STORAGE_CONTAINERS), lambda containers: not name or any(c.name == name for c in containers))
    return found or ()


def _claims(request: ModelRequest, settings: Settings, read: Read) -> Mapping[str, Claim | None]:
    policy = settings.storage_defaults.claims
    if not policy.read:
        return {}
    kind = CLAIM if policy.deny else OPTIONAL_CLAIM
    names = dict.fromkeys(source.claim.claim for source in request.sources if source.claim)
    if cache := cache_claim(request, settings):
        names[cache] = None
    return {name: read(Key(kind, request.namespace, name)) for name in names}
