"""All that a step may know of the cluster: frozen, and without a single secret value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from webhook.request import ModelRequest
    from webhook.settings.model import Settings


_NOTHING: Mapping[str, Any] = {}


class ServiceAccount(NamedTuple):
    """A service account: those of its annotations that are about credentials, and the Secrets it lists."""

    annotations: Mapping[str, str] = _NOTHING
    secrets: tuple[str, ...] = ()


class Secret(NamedTuple):
    """A Secret without its values: the names of its keys, and the few settings that stand in the pod in plain text."""

    keys: frozenset[str] = frozenset()
    annotations: Mapping[str, str] = _NOTHING
    """Those that are about credentials."""
    plain: Mapping[str, str] = _NOTHING
    """Values of endpoints, regions and hosts: of the keys in `PLAIN_KEYS`, and no others."""


# KServe gives these to the init container as plain values, or as part of a variable's name.
PLAIN_KEYS = frozenset(
    "S3_ENDPOINT S3_USE_HTTPS S3_VERIFY_SSL awsAnonymousCredential AWS_DEFAULT_REGION S3_USER_VIRTUAL_BUCKET "
    "S3_USE_ACCELERATE AWS_CA_BUNDLE AWS_CA_BUNDLE_CONFIGMAP https-host".split()
)


class StorageEntry(NamedTuple):
    """An entry of the storage-config Secret, without its credentials; "" where it does not say."""

    type: str = ""
    bucket: str = ""
    ca_bundle_config_map: str = ""
    is_object: bool = True
    """The entry is a JSON object; of another nothing is known."""


class UriFormat(NamedTuple):
    """URIs that a ClusterStorageContainer supports: those with a prefix or, without one, those a regex is found in."""

    prefix: str = ""
    regex: str = ""


class StorageContainer(NamedTuple):
    """A ClusterStorageContainer."""

    name: str
    container: Mapping[str, Any] = _NOTHING
    formats: tuple[UriFormat, ...] = ()
    workload_type: str = "initContainer"
    several: bool = False
    """It downloads several models in one go (`supportsMultiModelDownload`)."""
    disabled: bool = False
    problem: str = ""
    """Why it cannot be used, when its container is not of a container's shape."""


class Claim(NamedTuple):
    """A PersistentVolumeClaim; without access modes when it is not known whether there is one."""

    access_modes: tuple[str, ...] = ()


class Facts(NamedTuple):
    """What was looked up for one request; empty when nothing was (embedded and file settings, PVC-only pods).

    Of what is looked up by name, None says that there is none, and absence that it was not looked up.
    """

    service_account: ServiceAccount | None = None
    secrets: Mapping[str, Secret | None] = _NOTHING
    """The Secrets with credentials, by name, in the order in which they count."""
    storage_configs: Mapping[str, Mapping[str, StorageEntry] | None] = _NOTHING
    """The storage-config Secret's entries, by the Secret's name and the entry's key."""
    storage_containers: tuple[StorageContainer, ...] = ()
    """By name: the order in which the API server lists them."""
    claims: Mapping[str, Claim | None] = _NOTHING

    def is_same_reading(self, other: Facts) -> bool:
        """Whether both are what the cluster said at the same time: the same objects, not such that are equal."""
        return all(map(_is_same, self, other))


NO_FACTS = Facts()


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(one[name] is other[name] for name in one)
    return one is other


class FactSource(Protocol):
    """Where facts come from: a cluster, a file, or nowhere."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request without any I/O; None when they must be looked up."""

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """Like `cached`, and not counted."""

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request, read from the cluster where they are not cached.

        Raises LookupFailed when the cluster does not answer.
        """


class NoCluster:
    """Facts of a webhook without a cluster: none."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return self.peek(request, settings)

    def peek(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return NO_FACTS

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        return NO_FACTS
