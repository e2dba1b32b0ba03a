"""Facts: what steps may know about the cluster. Immutable, and without credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from webhook.storage_container import StorageContainer

if TYPE_CHECKING:
    from webhook.request.model_request import ModelRequest
    from webhook.settings.model import Settings


_NOTHING: Mapping[str, Any] = {}


MAX_SECRETS = 64
"""The number of Secrets of a service account that are looked up; each is one read from the API server."""

MAX_VALUE = 1024
"""The number of characters that are kept of a value, such as an endpoint. No valid one is longer."""


class ServiceAccount(NamedTuple):
    """A service account: its annotations about credentials, and the Secrets that it lists."""

    annotations: Mapping[str, str] = _NOTHING
    secrets: tuple[str, ...] = ()
    """The first `MAX_SECRETS`."""
    legacy_annotations: frozenset[str] = frozenset()
    """The names of its annotations about credentials that no longer count, and that nothing replaces."""
    unread: int = 0
    """The number of further Secrets that it lists."""


class Secret(NamedTuple):
    """A Secret without credentials: its keys, and the values that the pod contains as plain text."""

    keys: frozenset[str] = frozenset()
    """Those of its keys that tell what it is for: `CREDENTIAL_KEYS`, and those that the settings name."""
    annotations: Mapping[str, str] = _NOTHING
    """The annotations about credentials."""
    plain: Mapping[str, str] = _NOTHING
    """The values of the keys in `PLAIN_KEYS`, such as endpoints, regions and hosts."""
    legacy_annotations: frozenset[str] = frozenset()
    """The names of its annotations about credentials that no longer count, and that nothing replaces."""


# KServe sets these on the init container as plain values, or as part of a variable's name.
PLAIN_KEYS = frozenset(
    "S3_ENDPOINT S3_USE_HTTPS S3_VERIFY_SSL awsAnonymousCredential AWS_DEFAULT_REGION S3_USER_VIRTUAL_BUCKET "
    "S3_USE_ACCELERATE AWS_CA_BUNDLE AWS_CA_BUNDLE_CONFIGMAP https-host".split()
)

# The other keys that tell which credentials a Secret contains, or that it contains none.
CREDENTIAL_KEYS = PLAIN_KEYS | frozenset(
    "awsAccessKeyID awsSecretAccessKey AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY "
    "AZ_SUBSCRIPTION_ID AZ_TENANT_ID AZ_CLIENT_ID AZ_CLIENT_SECRET AZURE_SUBSCRIPTION_ID AZURE_TENANT_ID "
    "AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_STORAGE_ACCESS_KEY AZURE_ACCESS_TOKEN AZURE_ACCESS_EXPIRES_ON_SECONDS "
    "AZURE_ACCOUNT_NAME AZURE_SERVICE_URL headers HDFS_NAMENODE HF_TOKEN MODELSCOPE_API_TOKEN "
    ".dockercfg .dockerconfigjson ca.crt service-ca.crt".split()
)


class PullSecret(NamedTuple):
    """A Secret in a pod's imagePullSecrets, without its content."""

    has_docker_config: bool | None = None
    """It has the key that the init container can use. None: RBAC does not allow to read the Secret."""


DOCKER_CONFIG_KEY = ".dockerconfigjson"
"""The key of Secrets of type `kubernetes.io/dockerconfigjson`; those of type `kubernetes.io/dockercfg` have another."""


class StorageEntry(NamedTuple):
    """An entry of the storage-config Secret, without credentials; "" for fields that it does not have."""

    type: str = ""
    bucket: str = ""
    ca_bundle_config_map: str = ""
    is_object: bool = True
    """The entry is a JSON object. If not, the other fields are empty."""


class Claim(NamedTuple):
    """A PersistentVolumeClaim. It has no access modes when the claim could not be read."""

    access_modes: tuple[str, ...] = ()


class Facts(NamedTuple):
    """The facts of one request; empty when nothing was looked up (embedded and file settings, PVC-only pods).

    In the mappings, None means that the object does not exist, and a missing name that it was not looked up.
    """

    service_account: ServiceAccount | None = None
    secrets: Mapping[str, Secret | None] = _NOTHING
    """The Secrets with credentials, by name, in order of precedence."""
    storage_configs: Mapping[str, Mapping[str, StorageEntry] | None] = _NOTHING
    """The entries of the storage-config Secret, by the Secret's name and the entry's key."""
    storage_containers: tuple[StorageContainer, ...] = ()
    """Sorted by name, as the API server lists them."""
    claims: Mapping[str, Claim | None] = _NOTHING
    pull_secrets: Mapping[str, PullSecret | None] = _NOTHING
    """The Secrets in imagePullSecrets, by name, in the pod's order."""

    def is_same_reading(self, other: Facts) -> bool:
        """Whether both are from the same reads: their values are identical, not only equal."""
        return all(map(_is_same, self, other))


NO_FACTS = Facts()


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(one[name] is other[name] for name in one)
    return one is other


class FactSource(Protocol):
    """A source of facts: a cluster, a file, or none."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request, without I/O; None when they must be looked up."""

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """Like `cached`, but not counted in metrics."""

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request, read from the cluster where they are not cached.

        Raises LookupFailed when a read fails.
        """


class NoCluster:
    """The source of facts of a webhook without a cluster: none."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return self.peek(request, settings)

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return NO_FACTS

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        return NO_FACTS
