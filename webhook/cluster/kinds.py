"""Reduction of Kubernetes objects, from the API server or a manifest, to facts.

Only this module reads the values of Secrets, and facts do not contain credentials. Annotations of Secrets are dropped
too, except those about credentials, because `kubectl apply` writes the complete Secret into an annotation.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from webhook.annotations import CREDENTIAL_ANNOTATIONS, LEGACY_ANNOTATIONS
from webhook.cluster.facts import (
    CREDENTIAL_KEYS,
    DOCKER_CONFIG_KEY,
    MAX_SECRETS,
    MAX_VALUE,
    PLAIN_KEYS,
    Claim,
    PullSecret,
    Secret,
    ServiceAccount,
    StorageEntry,
)
from webhook.storage_container import INIT_CONTAINER, StorageContainer, UriFormat
from webhook.uri import is_object_name

T = TypeVar("T")

_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_DEFAULT_ENTRY = "default"
_MAX_DEFAULT_ENTRIES = 64
_ENTRY_FIELDS = ("type", "bucket", "cabundle_configmap")


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """A kind of object that facts are read from."""

    name: str
    path: str
    """The path in the API, with `{namespace}` and `{name}`."""
    rule: str
    """The RBAC rule that reads need: verb and resource."""
    reduce: Callable[[Mapping[str, Any], Collection[str]], T]
    """Reduces an object to the fact. The second argument is `Key.data_keys`."""
    absent: T | None = None
    """The fact when the object does not exist."""
    forbidden: T | None = None
    """The fact when RBAC forbids the read; None: the read fails."""
    unknown: T | None = None
    """The fact when the API server does not respond; None: the read fails."""


class Key(NamedTuple, Generic[T]):
    """The identity of one object in the cluster."""

    kind: Kind[T]
    namespace: str = ""
    name: str = ""
    data_keys: tuple[str, ...] = ()
    """The keys of a Secret that the settings or the pod name. The fact says nothing of other unknown keys."""

    @property
    def can_exist(self) -> bool:
        """Whether an object can have this name and namespace. An invalid one could change the path of the request."""
        path = self.kind.path
        return all(is_object_name(value) for part, value in self._parts() if part in path)

    def _parts(self) -> Iterable[tuple[str, str]]:
        return ("{namespace}", self.namespace), ("{name}", self.name)

    def reduce(self, found: Mapping[str, Any]) -> T:
        """Reduce the object to its fact."""
        return self.kind.reduce(found, self.data_keys)

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f'{self.kind.name}{name} in namespace "{self.namespace}"' if self.namespace else self.kind.name + name


def is_data_key(text: str) -> bool:
    """Whether a Secret can have this key (Kubernetes: at most 253 letters, digits, `-`, `_` and `.`)."""
    return _DATA_KEY.fullmatch(text) is not None


def service_account(found: Mapping[str, Any]) -> ServiceAccount:
    """Reduce a ServiceAccount to its annotations about credentials and the first of the Secrets that it lists."""
    names = (_text(reference.get("name"))[:MAX_VALUE] for reference in _objects(found.get("secrets")))
    secrets = tuple(dict.fromkeys(name for name in names if name))
    unread = max(0, len(secrets) - MAX_SECRETS)
    return ServiceAccount(_annotations(found), secrets[:MAX_SECRETS], _legacy_annotations(found), unread)


def secret(found: Mapping[str, Any], named: Collection[str] = ()) -> Secret:
    """Reduce a Secret to its keys and the values of those in `PLAIN_KEYS`, without white space around them.

    Only keys in `CREDENTIAL_KEYS` and in `named` are kept, and `MAX_VALUE` characters of each value.
    """
    keys = _keys(found) & CREDENTIAL_KEYS.union(named)
    plain = {key: _value(found, key).strip()[:MAX_VALUE] for key in PLAIN_KEYS & keys}
    return Secret(keys, _annotations(found), plain, _legacy_annotations(found))


def pull_secret(found: Mapping[str, Any]) -> PullSecret:
    """Reduce a Secret to whether the init container can use it to pull an image."""
    return PullSecret(DOCKER_CONFIG_KEY in _keys(found))


def storage_config(found: Mapping[str, Any], named: Collection[str] = ()) -> Mapping[str, StorageEntry]:
    """Reduce the storage-config Secret to entries without credentials: those in `named`, and the defaults of types.

    Only the first 64 defaults (`default`, `default_<type>`) are kept, in order of their names.
    """
    keys = _keys(found)
    defaults = sorted(key for key in keys if key == _DEFAULT_ENTRY or key.startswith(_DEFAULT_ENTRY + "_"))
    kept = sorted(keys.intersection(named).union(defaults[:_MAX_DEFAULT_ENTRIES]))
    return {key: _storage_entry(_value(found, key)) for key in kept}


def _storage_entry(text: str) -> StorageEntry:
    try:
        entry = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return StorageEntry(is_object=False)
    if not isinstance(entry, dict):
        return StorageEntry(is_object=False)
    type_, bucket, config_map = (_text(entry.get(field))[:MAX_VALUE] for field in _ENTRY_FIELDS)
    return StorageEntry(type_, bucket, config_map)


def claim(found: Mapping[str, Any]) -> Claim:
    """Reduce a PersistentVolumeClaim to its access modes."""
    modes = _object(found.get("spec")).get("accessModes")
    return Claim(tuple(mode for mode in modes if isinstance(mode, str)) if isinstance(modes, list) else ())


def storage_containers(found: Mapping[str, Any]) -> tuple[StorageContainer, ...]:
    """Reduce a list of ClusterStorageContainers; sorted by name."""
    reduced = map(storage_container, _objects(found.get("items")))
    return tuple(sorted(reduced, key=lambda container: container.name))


def storage_container(found: Mapping[str, Any]) -> StorageContainer:
    """Reduce one ClusterStorageContainer; `problem` says what is wrong with an invalid container."""
    spec, name = _object(found.get("spec")), _text(_object(found.get("metadata")).get("name"))
    container = spec.get("container")
    return StorageContainer(
        name=name,
        container=_with_string_quantities(_object(container)),
        formats=tuple(
            UriFormat(_text(item.get("prefix")), _text(item.get("regex")))
            for item in _objects(spec.get("supportedUriFormats"))
        ),
        workload_type=_text(spec.get("workloadType")) or INIT_CONTAINER,
        several=spec.get("supportsMultiModelDownload") is True,
        disabled=found.get("disabled") is True,
        problem=_problem(container),
    )


_LISTS = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort", "volumeDevices": "devicePath"}
_OBJECTS = ("resources", "securityContext")


def _problem(container: Any) -> str:
    if not isinstance(container, dict):
        return "spec.container must be an object"
    for field in _OBJECTS:
        if not isinstance(container.get(field), dict | None):
            return f"spec.container.{field} must be an object"
    for field, key in _LISTS.items():
        items = container.get(field) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) and item.get(key) for item in items):
            return f"spec.container.{field} must be a list of objects with {key}"
    return ""


def _with_string_quantities(container: dict[str, Any]) -> dict[str, Any]:
    """The container with quantities as strings; Kubernetes also accepts numbers, such as `cpu: 1`."""
    resources = _object(container.get("resources"))
    if not resources:
        return container
    amounts = {
        kind: {name: str(amount) for name, amount in resources[kind].items()}
        for kind in ("limits", "requests")
        if isinstance(resources.get(kind), dict)
    }
    return {**container, "resources": {**resources, **amounts}}


def _keys(found: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(_object(found.get("data"))) | frozenset(_object(found.get("stringData")))


def _value(found: Mapping[str, Any], key: str) -> str:
    """A value of a Secret, from `data` or a manifest's `stringData`; "" when it is not UTF-8 text."""
    string_data = _object(found.get("stringData"))
    if key in string_data:
        return _text(string_data[key])
    try:
        return base64.b64decode(_text(_object(found.get("data")).get(key))).decode()
    except ValueError:
        return ""


def _annotations(found: Mapping[str, Any]) -> dict[str, str]:
    annotations = _object(_object(found.get("metadata")).get("annotations"))
    return {key: _text(annotations[key])[:MAX_VALUE] for key in CREDENTIAL_ANNOTATIONS & annotations.keys()}


def _legacy_annotations(found: Mapping[str, Any]) -> frozenset[str]:
    annotations = _object(_object(found.get("metadata")).get("annotations"))
    present = LEGACY_ANNOTATIONS.keys() & annotations.keys()
    return frozenset(name for name in present if LEGACY_ANNOTATIONS[name] not in annotations)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(reduce: Callable[[Mapping[str, Any]], T]) -> Callable[[Mapping[str, Any], Collection[str]], T]:
    """The reduction of a kind for which the keys of a Secret do not matter."""
    return lambda found, data_keys: reduce(found)


_CORE = "/api/v1/namespaces/{namespace}/"

SERVICE_ACCOUNT = Kind(
    "ServiceAccount", _CORE + "serviceaccounts/{name}", "get serviceaccounts", _whole(service_account)
)
SECRET = Kind("Secret", _CORE + "secrets/{name}", "get secrets", secret)
STORAGE_CONFIG = Kind("Secret", SECRET.path, SECRET.rule, storage_config)
# A pull Secret that cannot be read may still be the right one.
PULL_SECRET = Kind("Secret", SECRET.path, SECRET.rule, _whole(pull_secret), forbidden=PullSecret())
CLAIM = Kind(
    "PersistentVolumeClaim", _CORE + "persistentvolumeclaims/{name}", "get persistentvolumeclaims", _whole(claim)
)
# When checks of claims only warn, a claim that cannot be read must not block the pod.
OPTIONAL_CLAIM = replace(CLAIM, unknown=Claim())
STORAGE_CONTAINERS: Kind[tuple[StorageContainer, ...]] = Kind(
    "ClusterStorageContainer",
    "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers",
    "list clusterstoragecontainers.serving.kserve.io",
    _whole(storage_containers),
    absent=(),
    # Only a ClusterRole can allow this read, and the webhook may be limited to some namespaces.
    forbidden=(),
)
