"""The groups of settings whose names and defaults are KServe's.

The defaults are those of KServe's code (0.15 to 0.21): they apply to keys that a ConfigMap leaves out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from webhook import strategy
from webhook.settings.formats import (
    AbsolutePath,
    AnnotationName,
    DataKey,
    Image,
    ObjectName,
    OneOrZero,
    Quantity,
    Surge,
    TrueOrFalse,
    Unavailable,
    UserId,
)
from webhook.settings.group import SettingsGroup, check_order

OciMode = Literal["modelcar", "native", "fetch"]


class StorageInitializer(SettingsGroup):
    """Key `storageInitializer`: the init container, and how claims and OCI images are delivered."""

    key: ClassVar[str] = "storageInitializer"

    image: Image = Field("kserve/storage-initializer:latest", description="Image of the init container.")
    cpu_request: Quantity = Field("100m", description="CPU request of the init container.")
    cpu_limit: Quantity = Field("1", description="CPU limit of the init container. `0`: none.")
    memory_request: Quantity = Field("100Mi", description="Memory request of the init container.")
    memory_limit: Quantity = Field("1Gi", description="Memory limit of the init container. `0`: none.")
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


class Gcs(SettingsGroup):
    """Google Cloud Storage credentials."""

    gcs_credential_file_name: DataKey = Field(
        "gcloud-application-credentials.json",
        description="Key of a Secret with a GCS service account file.",
    )


class S3(SettingsGroup):
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


class Credentials(SettingsGroup):
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


class DefaultRollout(SettingsGroup):
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


class DeploymentRolloutStrategy(SettingsGroup):
    """Rollout of the Deployments that KServe creates."""

    default_rollout: DefaultRollout | None = Field(None, description="Default rolling update.")


class Deploy(SettingsGroup):
    """Key `deploy`: KServe's deployment settings."""

    key: ClassVar[str] = "deploy"

    default_deployment_mode: str = Field(
        "", description="KServe's mode for InferenceServices: `Standard` (`RawDeployment`) or `Knative` (`Serverless`)."
    )
    deployment_rollout_strategy: DeploymentRolloutStrategy = Field(
        DeploymentRolloutStrategy.model_construct(), description="Rollout of Standard (RawDeployment) Deployments."
    )
