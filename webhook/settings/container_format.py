"""Validated types for containers and volumes of the settings. Pods get them as they are, so what Kubernetes would
reject must not be accepted here: it would reject every pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Required

from pydantic import AfterValidator, BeforeValidator, Field

from webhook.pod.naming import PROVISION_VOLUME, PVC_SOURCE_VOLUME
from webhook.settings.formats import (
    AbsolutePath,
    DataKey,
    DnsLabel,
    Image,
    ObjectName,
    Quantity,
    SecurityContext,
    Strict,
    VariableName,
)
from webhook.settings.group import check_order

ImagePullPolicy = Literal["Always", "IfNotPresent", "Never"]

VOLUME_KINDS = ("secret", "configMap", "persistentVolumeClaim", "emptyDir", "csi")
_SOURCES = ("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef")
_RESERVED_VOLUMES = (PROVISION_VOLUME, PVC_SOURCE_VOLUME)
# Where the init container has the model, a claim to copy, and the shared cache.
_RESERVED_PATHS = ("/mnt/models", "/mnt/pvc", "/mnt/storage-cache")

_Name = Annotated[ObjectName, Field(min_length=1)]
_Key = Annotated[DataKey, Field(min_length=1)]
_Path = Annotated[AbsolutePath, Field(min_length=1)]
_Mode = Annotated[int, Field(ge=0, le=0o777)]


def _no_arguments(value: Any) -> Any:
    raise ValueError("is not supported: the arguments are the URI and the mount path; put options into command")


def _free_path(path: str) -> str:
    for reserved in _RESERVED_PATHS:
        if f"{path.rstrip('/')}/".startswith(f"{reserved}/") or f"{reserved}/".startswith(f"{path.rstrip('/')}/"):
            raise ValueError(f"must not overlap with {reserved}, which the download uses")
    return path


def _free_name(name: str) -> str:
    if name in _RESERVED_VOLUMES:
        raise ValueError("must be another name, which the webhook does not use itself")
    return name


class _KeyRef(Strict, total=False):
    name: Required[_Name]
    key: Required[_Key]
    optional: bool


class _FieldRef(Strict, total=False):
    fieldPath: Required[str]
    apiVersion: str


class _ResourceFieldRef(Strict, total=False):
    resource: Required[str]
    containerName: str
    divisor: Quantity


class _Source(Strict, total=False):
    secretKeyRef: _KeyRef
    configMapKeyRef: _KeyRef
    fieldRef: _FieldRef
    resourceFieldRef: _ResourceFieldRef


def _one_source(value: Any) -> Any:
    if len(value) != 1:
        raise ValueError(f"must have exactly one of {', '.join(_SOURCES)}")
    return value


class _VariableFields(Strict, total=False):
    name: Required[VariableName]
    value: str
    valueFrom: Annotated[_Source, AfterValidator(_one_source)]


def _one_value(variable: Any) -> Any:
    if "value" in variable and "valueFrom" in variable:
        raise ValueError("must not have both value and valueFrom")
    return variable


class _Reference(Strict, total=False):
    name: Required[_Name]
    optional: bool


class _EnvFrom(Strict, total=False):
    prefix: str
    secretRef: _Reference
    configMapRef: _Reference


class _Resources(Strict, total=False):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


def _ordered(resources: Any) -> Any:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for name in requests:
        check_order(requests[name], limits.get(name), name)
    return resources


class _VolumeMount(Strict, total=False):
    name: Required[DnsLabel]
    mountPath: Required[Annotated[_Path, AfterValidator(_free_path)]]
    subPath: str
    readOnly: bool
    recursiveReadOnly: Literal["Disabled", "IfPossible", "Enabled"]


class _Container(Strict, total=False):
    """Kubernetes: core/v1 Container, the fields that a storage container may set."""

    name: str
    image: Image
    imagePullPolicy: ImagePullPolicy
    command: list[str]
    args: Annotated[Any, BeforeValidator(_no_arguments)]
    workingDir: _Path
    env: list[Annotated[_VariableFields, AfterValidator(_one_value)]]
    envFrom: list[_EnvFrom]
    resources: Annotated[_Resources, AfterValidator(_ordered)]
    volumeMounts: list[_VolumeMount]
    securityContext: SecurityContext
    terminationMessagePath: _Path
    terminationMessagePolicy: Literal["File", "FallbackToLogsOnError"]


class _Item(Strict, total=False):
    key: Required[_Key]
    path: Required[str]
    mode: _Mode


class _SecretVolume(Strict, total=False):
    secretName: Required[_Name]
    items: list[_Item]
    defaultMode: _Mode
    optional: bool


class _ConfigMapVolume(Strict, total=False):
    name: Required[_Name]
    items: list[_Item]
    defaultMode: _Mode
    optional: bool


class _ClaimVolume(Strict, total=False):
    claimName: Required[_Name]
    readOnly: bool


class _EmptyDirVolume(Strict, total=False):
    medium: Literal["", "Memory"]
    sizeLimit: Quantity


class _LocalReference(Strict):
    name: _Name


class _CsiVolume(Strict, total=False):
    driver: Required[_Name]
    fsType: str
    readOnly: bool
    volumeAttributes: dict[str, str]
    nodePublishSecretRef: _LocalReference


class _VolumeFields(Strict, total=False):
    """Kubernetes: core/v1 Volume, the kinds that a storage container may bring."""

    name: Required[Annotated[DnsLabel, AfterValidator(_free_name)]]
    secret: _SecretVolume
    configMap: _ConfigMapVolume
    persistentVolumeClaim: _ClaimVolume
    emptyDir: _EmptyDirVolume
    csi: _CsiVolume


def _known_kind(volume: Any) -> Any:
    kinds = [str(kind) for kind in volume if kind != "name"] if isinstance(volume, dict) else list(VOLUME_KINDS[:1])
    if len(kinds) != 1 or kinds[0] not in VOLUME_KINDS:
        found = f", not {', '.join(kinds)[:120]}" if kinds else ""
        raise ValueError(f"must have exactly one of {', '.join(VOLUME_KINDS)}{found}")
    return volume


if TYPE_CHECKING:
    # Steps copy these objects into the pod unchanged, so to type checkers they are plain dicts.
    Container = dict[str, Any]
    Volume = dict[str, Any]
else:
    Container = _Container
    Volume = Annotated[_VolumeFields, BeforeValidator(_known_kind)]
