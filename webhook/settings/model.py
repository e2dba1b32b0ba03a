"""The settings model: one class for each key of the ConfigMap that the webhook reads.

Names and defaults of `storageInitializer`, `credentials` and `deploy` are those of KServe's code (0.15 to 0.21): they
apply to keys that a ConfigMap leaves out. Without a ConfigMap, `EMBEDDED` applies.
`storageDefaults` is specific to this webhook. All values are validated here, so steps do not validate them again.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from webhook import quantity, strategy
from webhook.settings.formats import (
    AbsolutePath,
    AnnotationName,
    BoolOrNamespaces,
    Bytes,
    ClaimUri,
    DataKey,
    Extension,
    Image,
    ImagePattern,
    NamespaceName,
    ObjectName,
    OneOrZero,
    PodSecurityContext,
    Quantity,
    RolloutStrategy,
    SecurityContext,
    Surge,
    TrueOrFalse,
    Unavailable,
    UserId,
)

OciMode = Literal["modelcar", "native", "fetch"]

SINGLE_FILE_EXTENSIONS = tuple(
    ".joblib .pkl .pickle .onnx .bst .ubj .pt .pth .safetensors .gguf .ggml .bin .h5 .keras .tflite .pmml .cbm .lgb "
    ".npz .mlmodel .engine .plan .json .txt .ckpt .msgpack .mar .graphdef".split()
)


class _Group(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        # Build validators on first use. Defaults are made with `model_construct`, which needs none, so that `mutate`
        # with the embedded settings starts faster.
        defer_build=True,
    )


def check_order(request: str | None, limit: str | None, what: str) -> None:
    """Raise ValueError when a request is larger than its limit: Kubernetes rejects such a container."""
    if request is not None and limit is not None and quantity.parse(request) > quantity.parse(limit):
        raise ValueError(f"the {what} request {request} is larger than the {what} limit {limit}")


class StorageInitializer(_Group):
    """Key `storageInitializer`: the init container, and how claims and OCI images are delivered."""

    key: ClassVar[str] = "storageInitializer"

    image: Image = Field("kserve/storage-initializer:latest", description="Image of the init container.")
    cpu_request: Quantity = Field("100m", description="CPU request of the init container.")
    cpu_limit: Quantity = Field("1", description="CPU limit of the init container.")
    memory_request: Quantity = Field("100Mi", description="Memory request of the init container.")
    memory_limit: Quantity = Field("1Gi", description="Memory limit of the init container.")
    enable_direct_pvc_volume_mount: bool = Field(
        True, description="`true`: a `pvc://` model is mounted directly. `false`: the init container copies it first."
    )
    ca_bundle_config_map_name: ObjectName = Field(
        "", description="ConfigMap with CA certificates for the init container. Empty: none."
    )
    ca_bundle_volume_mount_path: AbsolutePath = Field(
        "/etc/ssl/custom-certs", description="Mount path of the CA certificates."
    )
    enable_modelcar: bool = Field(False, description="`true`: `oci://` models run as a modelcar sidecar.")
    enable_oci_model_support: bool = Field(
        False, description="`true`: `oci://` models are handled according to `ociModelMode`."
    )
    oci_model_mode: OciMode | None = Field(
        None,
        description="How `oci://` models are delivered: `modelcar`, `native` (image volume) or `fetch` (download). "
        "None: `modelcar` if one of the two values above is `true`.",
    )
    oci_insecure_registry: bool = Field(False, description="`true`: `oci+fetch://` may use registries without TLS.")
    cpu_modelcar: Quantity = Field("10m", description="CPU request and limit of modelcar containers.")
    memory_modelcar: Quantity = Field("15Mi", description="Memory request and limit of modelcar containers.")
    uid_modelcar: UserId | None = Field(
        None,
        description="User ID of the modelcar and of the target containers that read from it. "
        "None: the user of the images.",
    )

    @property
    def oci_mode(self) -> OciMode | None:
        """Mode of `oci://` models that do not name one; None: OCI is disabled (KServe: ResolveOciModelMode)."""
        if self.oci_model_mode is None and (self.enable_modelcar or self.enable_oci_model_support):
            return "modelcar"
        return self.oci_model_mode

    @model_validator(mode="after")
    def _requests_fit(self) -> StorageInitializer:
        check_order(self.cpu_request, self.cpu_limit, "cpu")
        check_order(self.memory_request, self.memory_limit, "memory")
        return self


class Gcs(_Group):
    """Google Cloud Storage credentials."""

    gcs_credential_file_name: DataKey = Field(
        "gcloud-application-credentials.json",
        description="Key of a Secret with a GCS service account file.",
    )


class S3(_Group):
    """S3 credentials, and defaults for values that neither annotations nor keys of the Secret set."""

    s3_access_key_id_name: DataKey = Field(
        "",
        alias="s3AccessKeyIDName",
        description="Key of a Secret with the access key ID; empty: `awsAccessKeyID` or `AWS_ACCESS_KEY_ID`.",
    )
    s3_secret_access_key_name: DataKey = Field(
        "",
        description="Key of a Secret with the secret access key. A Secret with this key is an S3 Secret. Empty: "
        "`awsSecretAccessKey` or `AWS_SECRET_ACCESS_KEY`.",
    )
    s3_endpoint: str = Field("", description="`S3_ENDPOINT`: host or URL of the S3 service.")
    s3_use_https: OneOrZero = Field("", description="`S3_USE_HTTPS`: `0` uses plain HTTP.")
    s3_region: str = Field("", description="`AWS_DEFAULT_REGION`.")
    s3_verify_ssl: OneOrZero = Field(
        "", alias="s3VerifySSL", description="`S3_VERIFY_SSL`: `0` accepts any certificate."
    )
    s3_use_virtual_bucket: TrueOrFalse = Field("", description="`S3_USER_VIRTUAL_BUCKET`.")
    s3_use_accelerate: TrueOrFalse = Field("", description="`S3_USE_ACCELERATE`.")
    s3_use_anonymous_credential: TrueOrFalse = Field("", description="`awsAnonymousCredential`.")
    s3_ca_bundle_config_map: ObjectName = Field(
        "", alias="s3CABundleConfigMap", description="`AWS_CA_BUNDLE_CONFIGMAP`."
    )
    s3_ca_bundle: str = Field(
        "", alias="s3CABundle", description="`AWS_CA_BUNDLE`: absolute path of the CA file, in a directory."
    )

    @property
    def key_names(self) -> tuple[tuple[str, str], ...]:
        """Names of the keys of an S3 Secret, as pairs: that of the access key ID, that of the secret access key."""
        known = (("awsAccessKeyID", "awsSecretAccessKey"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        if self.s3_secret_access_key_name:
            return ((self.s3_access_key_id_name or known[0][0], self.s3_secret_access_key_name),)
        return tuple((self.s3_access_key_id_name or key_id, secret) for key_id, secret in known)


class Credentials(_Group):
    """Key `credentials`: credentials for downloads."""

    key: ClassVar[str] = "credentials"

    enabled: bool = Field(
        True, description="`false`: the webhook reads no service accounts and no Secrets. Not a KServe setting."
    )
    storage_spec_secret_name: ObjectName = Field("storage-config", description="Secret of the storage spec.")
    storage_secret_name_annotation: AnnotationName = Field(
        "",
        description="Pod annotation that names the Secret with the credentials; empty: "
        "`serving.kserve.io/storageSecretName` or `serving.kserve.io/secretName`.",
    )
    gcs: Gcs = Field(Gcs.model_construct(), description="Google Cloud Storage.")
    s3: S3 = Field(S3.model_construct(), description="S3 and compatible services.")

    @property
    def secret_annotations(self) -> tuple[str, ...]:
        """The pod annotations that can name the Secret with the credentials; the first one present counts."""
        named = self.storage_secret_name_annotation
        return (named,) if named else ("serving.kserve.io/storageSecretName", "serving.kserve.io/secretName")


class DefaultRollout(_Group):
    """Rolling update of the Deployments that KServe creates."""

    max_surge: Surge = Field(
        "", description="Maximum number of pods above the replica count: a number or a percentage."
    )
    max_unavailable: Unavailable = Field(
        "", description="Maximum number of unavailable pods: a number or a percentage."
    )

    @model_validator(mode="after")
    def _allows_progress(self) -> DefaultRollout:
        given = {"maxSurge": self.max_surge, "maxUnavailable": self.max_unavailable}
        strategy.parse({"rollingUpdate": {name: pods for name, pods in given.items() if pods}})
        return self


class DeploymentRolloutStrategy(_Group):
    """Rollout of the Deployments that KServe creates."""

    default_rollout: DefaultRollout | None = Field(None, description="Default rolling update.")


class Deploy(_Group):
    """Key `deploy`: KServe's deployment settings."""

    key: ClassVar[str] = "deploy"

    default_deployment_mode: str = Field(
        "", description="KServe's mode for InferenceServices: `Standard` (`RawDeployment`) or `Knative` (`Serverless`)."
    )
    deployment_rollout_strategy: DeploymentRolloutStrategy = Field(
        DeploymentRolloutStrategy.model_construct(), description="Rollout of Standard (RawDeployment) Deployments."
    )


class EmptyDir(_Group):
    """The emptyDir volumes for downloads."""

    size_limit: Bytes | None = Field(None, description="Size limit of the volumes for downloads. None: no limit.")
    medium: Literal["", "Memory"] = Field(
        "", description="Medium of these volumes. Empty: the node's disk. `Memory`: tmpfs."
    )


class EphemeralStorage(_Group):
    """Ephemeral storage of the init container."""

    request: Bytes | None = Field(None, description="Ephemeral storage request of the init container.")
    limit: Bytes | None = Field(None, description="Ephemeral storage limit of the init container.")

    @model_validator(mode="after")
    def _request_fits(self) -> EphemeralStorage:
        check_order(self.request, self.limit, "ephemeral-storage")
        return self


class Overrides(_Group):
    """What pods may override with annotations."""

    image: tuple[ImagePattern, ...] = Field(
        (),
        description="Patterns (`*`, `?`) of the images that `storage.kserve.io/image` may name. None: no image.",
    )
    cpu_limit: Quantity | None = Field(None, description="Maximum of `storage.kserve.io/cpu-limit`. None: no maximum.")
    memory_limit: Bytes | None = Field(
        None, description="Maximum of `storage.kserve.io/memory-limit`. None: no maximum."
    )
    ephemeral_storage_limit: Bytes | None = Field(
        None, description="Maximum of `storage.kserve.io/ephemeral-storage-limit`. None: no maximum."
    )


class RolloutDefaults(_Group):
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


class Claims(_Group):
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


class StorageDefaults(_Group):
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
    single_file: tuple[Extension, ...] = Field(
        SINGLE_FILE_EXTENSIONS,
        description="File extensions for which a `pvc://` path is a single file, not a directory.",
    )
    security_context: SecurityContext | None = Field(
        None,
        description="securityContext of injected containers. "
        "None: one that meets the Pod Security Standard `restricted`.",
    )
    empty_dir: EmptyDir = Field(EmptyDir.model_construct(), description="The emptyDir volumes for downloads.")
    ephemeral_storage: EphemeralStorage = Field(
        EphemeralStorage.model_construct(), description="Ephemeral storage of the init container."
    )
    overrides: Overrides = Field(Overrides.model_construct(), description="What pods may override with annotations.")
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

    def may_write(self, namespace: str) -> bool:
        """Whether pods in this namespace may mount models read-write."""
        allowed = self.allow_read_write
        return allowed if isinstance(allowed, bool) else namespace in allowed


class Settings(_Group):
    """All settings. Immutable: a request uses one snapshot throughout."""

    storage_initializer: StorageInitializer = StorageInitializer.model_construct()
    credentials: Credentials = Credentials.model_construct()
    deploy: Deploy = Deploy.model_construct()
    storage_defaults: StorageDefaults = StorageDefaults.model_construct()

    @property
    def observing(self) -> bool:
        """Whether the mode is `observe`: pods are never changed or denied."""
        return self.storage_defaults.mode == "observe"

    @property
    def enforced(self) -> Settings:
        """The same settings in mode `enforce`."""
        if not self.observing:
            return self
        return self.model_copy(
            update={"storage_defaults": self.storage_defaults.model_copy(update={"mode": "enforce"})}
        )


INITIALIZER_IMAGE = "kserve/storage-initializer:v0.21.0"

EMBEDDED = Settings.model_construct(
    storage_initializer=StorageInitializer.model_construct(
        image=INITIALIZER_IMAGE, enable_modelcar=True, uid_modelcar=1010
    )
)
"""The settings without a ConfigMap: what KServe ships in its own ConfigMap. The image is pinned."""
