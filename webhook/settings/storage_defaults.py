"""The group of settings that is specific to this webhook: key `storageDefaults`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from webhook import quantity
from webhook.settings.access import ALLOW_READ_WRITE, MAX_RULES, AccessRule, Permission, Requester, permission
from webhook.settings.container_format import ImagePullPolicy
from webhook.settings.formats import (
    BoolOrNamespaces,
    Bytes,
    ClaimUri,
    Duration,
    Extension,
    ImagePattern,
    NamespaceName,
    ObjectName,
    PodSecurityContext,
    Quantity,
    RequiredName,
    RolloutStrategy,
    SecurityContext,
    VariablePattern,
)
from webhook.settings.group import SettingsGroup, check_order
from webhook.uri import ClaimPath

SINGLE_FILE_EXTENSIONS = tuple(
    ".joblib .pkl .pickle .onnx .bst .ubj .pt .pth .safetensors .gguf .ggml .bin .h5 .keras .tflite .pmml .cbm .lgb "
    ".npz .mlmodel .engine .plan .json .txt .ckpt .msgpack .mar .graphdef".split()
)


ENV_PATTERNS = tuple("HF_* HUGGING_FACE_* AWS_* S3_* *_PROXY *_proxy".split())


class EmptyDir(SettingsGroup):
    """The emptyDir volumes for downloads."""

    size_limit: Bytes | None = Field(
        None, description="Size limit of the volumes for downloads. A pod that uses more is evicted. None: no limit."
    )
    medium: Literal["", "Memory"] = Field(
        "",
        description="Medium of these volumes. Empty: the node's disk. "
        "`Memory`: tmpfs, which counts towards the init container's memory limit.",
    )


class EphemeralVolume(SettingsGroup):
    """A generic ephemeral volume: a claim that is created and deleted with the pod."""

    storage_class_name: ObjectName = Field("", description="Its StorageClass. Empty: the default of the cluster.")
    size: Bytes = Field(description="Its size, such as `100Gi`.")
    access_modes: tuple[Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"], ...] = Field(
        ("ReadWriteOnce",), min_length=1, description="Its access modes."
    )

    @model_validator(mode="after")
    def _has_room(self) -> EphemeralVolume:
        if not quantity.parse(self.size):
            raise ValueError("size must be more than 0, such as 100Gi")
        return self


class DownloadVolume(SettingsGroup):
    """The volume for downloads: `emptyDir`, or an object with one field."""

    ephemeral: EphemeralVolume | None = Field(
        None, description="A generic ephemeral volume instead of an emptyDir. The pod needs `fsGroup`."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_empty_dir(cls, value: Any) -> Any:
        return {} if value == "emptyDir" else value


class EphemeralStorage(SettingsGroup):
    """Ephemeral storage of the init container."""

    request: Bytes | None = Field(None, description="Ephemeral storage request of the init container.")
    limit: Bytes | None = Field(
        None,
        description="Ephemeral storage limit of the init container; of the whole pod, if no other container has one. "
        "`0`: none.",
    )

    @model_validator(mode="after")
    def _request_fits(self) -> EphemeralStorage:
        check_order(self.request, self.limit, "ephemeral-storage")
        return self


class Overrides(SettingsGroup):
    """What pods may override with annotations."""

    image: tuple[ImagePattern, ...] = Field(
        (),
        description="Patterns (`*`, `?`) of the images that `storage.kserve.io/image` may name. None: no image.",
    )
    env: tuple[VariablePattern, ...] = Field(
        ENV_PATTERNS,
        description="Patterns (`*`, `?`) of the variables that `storage.kserve.io/env` and "
        "`storage.kserve.io/env-from-container` may set.",
    )
    cpu_limit: Quantity | None = Field(None, description="Maximum of `storage.kserve.io/cpu-limit`. None: no maximum.")
    memory_limit: Bytes | None = Field(
        None, description="Maximum of `storage.kserve.io/memory-limit`. None: no maximum."
    )
    ephemeral_storage_limit: Bytes | None = Field(
        None, description="Maximum of `storage.kserve.io/ephemeral-storage-limit`. None: no maximum."
    )


class Download(SettingsGroup):
    """How downloads are watched."""

    supervise: bool = Field(
        False,
        description="`true`: the init container logs the progress of each download, and ends one that stalls.",
    )
    timeout: Duration = Field(
        "2h", description="How long a supervised download, or one into a shared cache, may take with its check."
    )
    stall_timeout: Duration = Field("10m", description="How long a supervised download may go on without a new byte.")


class RolloutDefaults(SettingsGroup):
    """Defaults for Deployments whose pods request a model. Fields that the author sets are kept."""

    strategy: RolloutStrategy | None = Field(
        None, description="`Recreate`, `RollingUpdate`, or a DeploymentStrategy as in a Deployment."
    )
    progress_deadline_seconds: int | None = Field(
        None,
        gt=0,
        description="`spec.progressDeadlineSeconds`. Large models take longer than the Kubernetes default of 600.",
    )
    termination_grace_period_seconds: int | None = Field(
        None, ge=0, description="`terminationGracePeriodSeconds` of the pods."
    )
    enable_service_links: bool | None = Field(None, description="`enableServiceLinks` of the pods.")
    pod_security_context: PodSecurityContext | None = Field(
        None, description="Default fields of the pods' `securityContext`."
    )


class Claims(SettingsGroup):
    """Checks of the claims that a pod mounts."""

    read: bool = Field(
        False, description="`true`: the webhook reads the claims that a pod mounts, and warns if a mount cannot work."
    )
    deny: bool = Field(False, description="`true`: such pods are denied instead. Requires `read: true`.")

    @model_validator(mode="after")
    def _deny_needs_read(self) -> Claims:
        if self.deny and not self.read:
            raise ValueError("deny requires read: true")
        return self


class StorageDefaults(SettingsGroup):
    """Key `storageDefaults`: settings that KServe does not have."""

    key: ClassVar[str] = "storageDefaults"

    mode: Literal["enforce", "observe"] = Field(
        "enforce",
        description="`enforce`: inject models. "
        "`observe`: compute, compare, log, count and warn, but never change or deny a pod.",
    )
    read_only: bool = Field(
        True, description="`true`: models are mounted read-only unless the pod's annotations say otherwise."
    )
    allow_read_write: BoolOrNamespaces = Field(
        True,
        description="Who may mount a model read-write: `true` (everyone), `false` (no one), or a list of namespaces.",
    )
    access: tuple[AccessRule, ...] | None = Field(
        None,
        max_length=MAX_RULES,
        description="Who may read and write which paths of which claims. The first rule that matches decides; without "
        "one, a path may be read. Replaces `allowReadWrite`. None: everyone may read all claims.",
    )
    single_file: tuple[Extension, ...] = Field(
        SINGLE_FILE_EXTENSIONS,
        description="File extensions for which a `pvc://` path is a single file, not a directory.",
    )
    check_path: bool = Field(
        False,
        description="`true`: an init container checks that the path of a mounted `pvc://` URI exists, before the "
        "kubelet creates an empty directory in its place.",
    )
    security_context: SecurityContext | None = Field(
        None,
        description="securityContext of injected containers. "
        "None: one that meets the Pod Security Standard `restricted`.",
    )
    empty_dir: EmptyDir = Field(EmptyDir.model_construct(), description="The emptyDir volumes for downloads.")
    download_volume: DownloadVolume = Field(
        DownloadVolume.model_construct(), description="`emptyDir`, or an object with `ephemeral`."
    )
    image_pull_policy: ImagePullPolicy | None = Field(
        None, description="imagePullPolicy of the init container. None: that of Kubernetes for the image's tag."
    )
    image_pull_secrets: tuple[RequiredName, ...] = Field(
        (), max_length=16, description="Secrets that are added to `imagePullSecrets` of pods with the init container."
    )
    cpu_limit: Literal["", "none"] = Field(
        "",
        description="`none`: the init container has no CPU limit, whatever `storageInitializer.cpuLimit` is. Its pod "
        "cannot be Guaranteed, and a quota of `limits.cpu` rejects it. Empty: the limit applies.",
    )
    ephemeral_storage: EphemeralStorage = Field(
        EphemeralStorage.model_construct(), description="Ephemeral storage of the init container."
    )
    overrides: Overrides = Field(Overrides.model_construct(), description="What pods may override with annotations.")
    download: Download = Field(Download.model_construct(), description="How downloads are watched.")
    require_digest: BoolOrNamespaces = Field(
        False,
        description="Where a model without a digest is denied: `true` (everywhere), `false` (nowhere), or a list of "
        "namespaces.",
    )
    cache: dict[str, ClaimUri] = Field(
        {},
        description="Default claims of the shared download cache: a namespace, or `*` for all, and `pvc://<claim>[/<dir>]`.",
    )
    local_model_key: Literal["hash", "name"] = Field(
        "hash",
        description="Directory name of models that KServe caches on nodes: "
        "`hash` (KServe 0.18 and newer) or `name` (older).",
    )
    kserve_namespace: NamespaceName = Field(
        "kserve",
        description="Namespace of KServe, where the CA bundle has its configured name. "
        "Elsewhere it is `global-ca-bundle`.",
    )

    rollout: RolloutDefaults = Field(RolloutDefaults.model_construct(), description="Defaults for Deployments.")
    read_write_replicas: Literal["any", "single"] = Field(
        "any",
        description="`any`, or `single`: a Deployment with several replicas that all write to one claim is denied.",
    )
    claims: Claims = Field(Claims.model_construct(), description="Checks of the claims that a pod mounts.")

    def permission(self, requester: Requester, claim: ClaimPath | None) -> Permission:
        """What pods may do with a path in a claim; `claim` is None for a model that is in no claim."""
        if self.access is not None:
            return permission(self.access, requester, claim)
        allowed = self.allow_read_write
        may_write = allowed if isinstance(allowed, bool) else requester.namespace in allowed
        return Permission("readWrite" if may_write else "read", ALLOW_READ_WRITE)
