"""The settings, typed: one class for each key of the ConfigMap that we read.

Names and defaults of `storageInitializer`, `credentials` and `deploy` are KServe's (0.15 to 0.21);
`storageDefaults` is ours. Every value is checked here, once, so that no step has to.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from webhook import quantity, strategy
from webhook.settings.formats import (
    AbsolutePath,
    AnnotationName,
    Bytes,
    ClaimUri,
    DataKey,
    Extension,
    Image,
    ImagePattern,
    ObjectName,
    OneOrZero,
    PodSecurityContext,
    Quantity,
    RolloutStrategy,
    SecurityContext,
    Surge,
    SwitchOrNamespaces,
    TrueOrFalse,
    Unavailable,
    UserId,
)

OciMode = Literal["modelcar", "native", "fetch"]

SINGLE_FILE_EXTENSIONS = tuple(
    ".joblib .pkl .pickle .onnx .bst .ubj .pt .pth .safetensors .gguf .ggml .bin .h5 .keras .tflite .pmml .cbm .lgb "
    ".npz .mlmodel .engine .plan".split()
)


class _Group(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        # Validators are built when there is something to validate. Defaults are made by `model_construct`, which
        # needs none: so `mutate` with the embedded settings starts sooner.
        defer_build=True,
    )


def check_order(request: str | None, limit: str | None, what: str) -> None:
    """Raises ValueError when a request is larger than its limit (Kubernetes rejects such a container)."""
    if request is not None and limit is not None and quantity.parse(request) > quantity.parse(limit):
        raise ValueError(f"the {what} request {request} is larger than the {what} limit {limit}")


class StorageInitializer(_Group):
    """Key `storageInitializer`: the init container that downloads, and how claims and OCI images arrive."""

    key: ClassVar[str] = "storageInitializer"

    image: Image = Field("kserve/storage-initializer:latest", description="Image of the init container.")
    cpu_request: Quantity = Field("100m", description="CPU request of the init container.")
    cpu_limit: Quantity = Field("1", description="CPU limit of the init container.")
    memory_request: Quantity = Field("100Mi", description="Memory request of the init container.")
    memory_limit: Quantity = Field("1Gi", description="Memory limit of the init container.")
    enable_direct_pvc_volume_mount: bool = Field(
        True, description="`pvc://` models are mounted in place; false: the init container copies them."
    )
    ca_bundle_config_map_name: ObjectName = Field(
        "", description="ConfigMap with CA certificates for the init container; empty: none."
    )
    ca_bundle_volume_mount_path: AbsolutePath = Field(
        "/etc/ssl/custom-certs", description="Where the CA certificates are mounted."
    )
    enable_modelcar: bool = Field(False, description="`oci://` models run as a modelcar sidecar.")
    enable_oci_model_support: bool = Field(False, description="`oci://` models are mounted or fetched, not downloaded.")
    oci_model_mode: OciMode | None = Field(
        None,
        description="What a bare `oci://` does when OCI is on: `modelcar` (default), `native` or `fetch`.",
    )
    oci_insecure_registry: bool = Field(False, description="`oci+fetch://` may use registries without TLS.")
    cpu_modelcar: Quantity = Field("10m", description="CPU request and limit of modelcar containers.")
    memory_modelcar: Quantity = Field("15Mi", description="Memory request and limit of modelcar containers.")
    uid_modelcar: UserId | None = Field(
        None, description="User id of the modelcar and of the server containers that read from it."
    )

    @property
    def oci_mode(self) -> OciMode | None:
        """How a bare `oci://` model arrives; None: OCI is off (KServe: ResolveOciModelMode)."""
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
        description="Key of a secret that holds a GCS service account file.",
    )


class S3(_Group):
    """S3 credentials and defaults, for what neither the secret's annotations nor its keys say."""

    s3_access_key_id_name: DataKey = Field(
        "awsAccessKeyID",
        alias="s3AccessKeyIDName",
        description="Key of a secret that holds the access key id.",
    )
    s3_secret_access_key_name: DataKey = Field(
        "awsSecretAccessKey",
        description="Key of a secret that holds the secret access key; marks an S3 secret.",
    )
    s3_endpoint: str = Field("", description="`S3_ENDPOINT`: host, or URL, of the S3 service.")
    s3_use_https: OneOrZero = Field("", description="`S3_USE_HTTPS`: `0` for plain HTTP.")
    s3_region: str = Field("", description="`AWS_DEFAULT_REGION`.")
    s3_verify_ssl: OneOrZero = Field(
        "", alias="s3VerifySSL", description="`S3_VERIFY_SSL`: `0` trusts any certificate."
    )
    s3_use_virtual_bucket: TrueOrFalse = Field("", description="`S3_USER_VIRTUAL_BUCKET`.")
    s3_use_accelerate: TrueOrFalse = Field("", description="`S3_USE_ACCELERATE`.")
    s3_use_anonymous_credential: TrueOrFalse = Field("", description="`awsAnonymousCredential`.")
    s3_ca_bundle_config_map: ObjectName = Field(
        "", alias="s3CABundleConfigMap", description="`AWS_CA_BUNDLE_CONFIGMAP`."
    )
    s3_ca_bundle: AbsolutePath = Field("", alias="s3CABundle", description="`AWS_CA_BUNDLE`: path of the CA file.")


class Credentials(_Group):
    """Key `credentials`: where credentials for downloads are found."""

    key: ClassVar[str] = "credentials"

    enabled: bool = Field(True, description="Ours: false reads no service account and no Secret, ever.")
    storage_spec_secret_name: ObjectName = Field("storage-config", description="Secret of the storage spec.")
    storage_secret_name_annotation: AnnotationName = Field(
        "serving.kserve.io/storageSecretName",
        description="Pod annotation that names the secret with credentials.",
    )
    gcs: Gcs = Field(Gcs.model_construct(), description="Google Cloud Storage.")
    s3: S3 = Field(S3.model_construct(), description="S3 and what speaks its protocol.")


class DefaultRollout(_Group):
    """Rolling update of KServe's Deployments."""

    max_surge: Surge = Field("", description="Pods above the replica count: a number or a percentage.")
    max_unavailable: Unavailable = Field("", description="Pods that may be missing: a number or a percentage.")

    @model_validator(mode="after")
    def _moves(self) -> DefaultRollout:
        given = {"maxSurge": self.max_surge, "maxUnavailable": self.max_unavailable}
        strategy.parse({"rollingUpdate": {name: pods for name, pods in given.items() if pods}})
        return self


class DeploymentRolloutStrategy(_Group):
    """How KServe's Deployments roll out."""

    default_rollout: DefaultRollout | None = Field(None, description="Default rolling update.")


class Deploy(_Group):
    """Key `deploy`: how KServe deploys."""

    key: ClassVar[str] = "deploy"

    default_deployment_mode: str = Field("", description="KServe's mode for InferenceServices.")
    deployment_rollout_strategy: DeploymentRolloutStrategy = Field(
        DeploymentRolloutStrategy.model_construct(), description="Rollout of Standard (RawDeployment) Deployments."
    )


class EmptyDir(_Group):
    """The emptyDir volumes that downloads go to."""

    size_limit: Bytes | None = Field(None, description="`sizeLimit` of the volume; absent: the node's disk.")
    medium: Literal["", "Memory"] = Field("", description='`""`: the node\'s disk; `Memory`: tmpfs.')


class EphemeralStorage(_Group):
    """Ephemeral storage of the init container."""

    request: Bytes | None = Field(None, description="`ephemeral-storage` request of the init container.")
    limit: Bytes | None = Field(None, description="`ephemeral-storage` limit of the init container.")

    @model_validator(mode="after")
    def _request_fits(self) -> EphemeralStorage:
        check_order(self.request, self.limit, "ephemeral-storage")
        return self


class Overrides(_Group):
    """How far a pod's annotations may go."""

    image: tuple[ImagePattern, ...] = Field(
        (),
        description="Patterns (`*`, `?`) of images that `storage.kserve.io/image` may name; none: no image.",
    )
    cpu_limit: Quantity | None = Field(None, description="Ceiling of `storage.kserve.io/cpu-limit`; absent: none.")
    memory_limit: Bytes | None = Field(None, description="Ceiling of `storage.kserve.io/memory-limit`; absent: none.")
    ephemeral_storage_limit: Bytes | None = Field(
        None, description="Ceiling of `storage.kserve.io/ephemeral-storage-limit`; absent: none."
    )


class RolloutDefaults(_Group):
    """Deployments whose pods ask for a model, where their author left a field unset."""

    strategy: RolloutStrategy | None = Field(
        None, description="`Recreate`, `RollingUpdate`, or a DeploymentStrategy object."
    )
    progress_deadline_seconds: int | None = Field(
        None, gt=0, description="`spec.progressDeadlineSeconds`: large models take longer than Kubernetes' 600."
    )
    termination_grace_period_seconds: int | None = Field(
        None, ge=0, description="`terminationGracePeriodSeconds` of the pods."
    )
    enable_service_links: bool | None = Field(None, description="`enableServiceLinks` of the pods.")
    pod_security_context: PodSecurityContext | None = Field(
        None, description="Fields of the pods' `securityContext` that their author left out."
    )


class Claims(_Group):
    """What is looked at in the claims that a pod mounts."""

    read: bool = Field(False, description="Read PersistentVolumeClaims, and warn where a mount cannot work.")
    deny: bool = Field(False, description="Deny such pods instead of warning; needs `read: true`.")

    @model_validator(mode="after")
    def _deny_needs_read(self) -> Claims:
        if self.deny and not self.read:
            raise ValueError("deny needs read: true")
        return self


class StorageDefaults(_Group):
    """Key `storageDefaults`: ours, strict about unknown keys."""

    key: ClassVar[str] = "storageDefaults"

    mode: Literal["enforce", "observe"] = Field(
        "enforce", description="`observe`: compute, compare, log, count and warn, but never change or deny a pod."
    )
    read_only: bool = Field(True, description="Models are read-only where the pod does not say.")
    allow_read_write: SwitchOrNamespaces = Field(
        True, description="Who may mount a model read-write: true, false, or a list of namespaces."
    )
    single_file: tuple[Extension, ...] = Field(
        SINGLE_FILE_EXTENSIONS,
        description="Extensions of a `pvc://` path that make it a file, not a directory.",
    )
    security_context: SecurityContext | None = Field(
        None,
        description="A container securityContext for injected containers, instead of the restricted default.",
    )
    empty_dir: EmptyDir = Field(EmptyDir.model_construct(), description="The emptyDir volumes that downloads go to.")
    ephemeral_storage: EphemeralStorage = Field(
        EphemeralStorage.model_construct(), description="Ephemeral storage of the init container."
    )
    overrides: Overrides = Field(Overrides.model_construct(), description="How far a pod's annotations may go.")
    cache: dict[str, ClaimUri] = Field(
        {}, description="Claims that downloads are shared in: a namespace, or `*`, and `pvc://<claim>[/<dir>]`."
    )
    local_model_key: Literal["hash", "name"] = Field(
        "hash", description="Directory of a node-cached model: `hash` since KServe 0.18, `name` before."
    )

    rollout: RolloutDefaults = Field(RolloutDefaults.model_construct(), description="Defaults for Deployments.")
    read_write_replicas: Literal["any", "single"] = Field(
        "any", description="`single`: a Deployment of several replicas that all write one claim is denied."
    )
    claims: Claims = Field(Claims.model_construct(), description="What is looked at in the claims that a pod mounts.")

    def may_write(self, namespace: str) -> bool:
        """Whether pods of this namespace may mount models read-write."""
        allowed = self.allow_read_write
        return allowed if isinstance(allowed, bool) else namespace in allowed


class Settings(_Group):
    """All settings: one immutable snapshot serves one request."""

    storage_initializer: StorageInitializer = StorageInitializer.model_construct()
    credentials: Credentials = Credentials.model_construct()
    deploy: Deploy = Deploy.model_construct()
    storage_defaults: StorageDefaults = StorageDefaults.model_construct()

    @property
    def observing(self) -> bool:
        """Whether pods are only looked at, never changed or denied."""
        return self.storage_defaults.mode == "observe"
