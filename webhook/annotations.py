"""Every annotation and label that the webhook reads, each with its contract.

Search for a constant's name to find the code that handles it. docs/reference.md is generated from this file.
"""

from __future__ import annotations


class Key(str):
    """The name of an annotation or label, with its meaning and its allowed values, as in docs/reference.md."""

    meaning: str
    values: str

    def __new__(cls, name: str, meaning: str, values: str) -> Key:
        key = super().__new__(cls, name)
        key.meaning = meaning
        key.values = values
        return key

    def __reduce__(self) -> tuple[type[Key], tuple[str, str, str]]:
        """Support `copy` and `pickle`."""
        return Key, (str(self), self.meaning, self.values)


PREFIX = "storage.kserve.io/"

# --- Set by the pod's author --------------------------------------------------------------------------------------

URI = Key(PREFIX + "uri", "The model's URI, for pods that KServe does not manage.", "a storage URI")
URIS = Key(
    PREFIX + "uris",
    "Several models. Cannot be combined with `storage.kserve.io/uri` or `storage.kserve.io/mount-path`.",
    'a JSON list: `[{"uri": "s3://…", "mountPath": "/mnt/base", "sha256": "…"}, …]`; `sha256` is optional',
)
MOUNT_PATH = Key(
    PREFIX + "mount-path",
    "The directory where the containers find the model.",
    "an absolute path; default `/mnt/models`",
)
CONTAINERS = Key(
    PREFIX + "containers",
    "The target containers: those that get the model. Init containers among them run after the download.",
    "comma-separated names of containers and init containers; default: KServe's server containers, else the default "
    "container, else the first that is not a well-known proxy",
)
PATH_TYPE = Key(
    PREFIX + "path-type",
    "Whether the path of a `pvc://` URI is a directory or a file.",
    "`auto` (default), `directory`, `file`",
)
PVC_MOUNT = Key(
    PREFIX + "pvc-mount",
    "Whether a `pvc://` model is mounted from its claim or copied by the init container.",
    "`direct` or `copy`; default: the setting `enableDirectPvcVolumeMount`",
)
CHECK_PATH = Key(
    PREFIX + "check-path",
    "Whether an init container checks that the path of a mounted `pvc://` URI exists.",
    "`true` or `false`; default: the setting `storageDefaults.checkPath`",
)
READ_ONLY = Key(
    PREFIX + "readonly",
    "Whether the target containers mount the model read-only.",
    "`true` (default) or `false`, in any case",
)
IMAGE = Key(PREFIX + "image", "The init container's image. The settings must allow it.", "an image reference")
CPU_REQUEST = Key(PREFIX + "cpu-request", "The init container's CPU request.", "a quantity")
CPU_LIMIT = Key(PREFIX + "cpu-limit", "The init container's CPU limit.", "a quantity")
MEMORY_REQUEST = Key(PREFIX + "memory-request", "The init container's memory request.", "a quantity")
MEMORY_LIMIT = Key(PREFIX + "memory-limit", "The init container's memory limit.", "a quantity")
EPHEMERAL_STORAGE_REQUEST = Key(
    PREFIX + "ephemeral-storage-request", "The init container's ephemeral-storage request.", "a quantity"
)
EPHEMERAL_STORAGE_LIMIT = Key(
    PREFIX + "ephemeral-storage-limit", "The init container's ephemeral-storage limit.", "a quantity"
)
CACHE_MOUNT = Key(
    PREFIX + "cache-mount",
    "Whether the containers mount the model from the shared cache, or a copy in a volume of the pod.",
    "`direct` (default) or `copy`",
)
CACHE = Key(
    PREFIX + "cache",
    "Download the model once into this claim, and share it between pods.",
    "`pvc://<claim>[/<dir>]`",
)

SUPERVISE = Key(
    PREFIX + "supervise",
    "Whether the init container logs the progress of the download, and ends one that stalls.",
    "`true` or `false`; default: the setting `storageDefaults.download.supervise`, and `true` with a time-out",
)
DOWNLOAD_TIMEOUT = Key(
    PREFIX + "download-timeout",
    "How long the download and the check of its digest may take.",
    "a duration, such as `30m`, `1h30m` or `900s`; default: the setting `storageDefaults.download.timeout`",
)
STALL_TIMEOUT = Key(
    PREFIX + "stall-timeout",
    "How long a supervised download may go on without a new byte.",
    "a duration; default: the setting `storageDefaults.download.stallTimeout`",
)
SHA256 = Key(
    PREFIX + "sha256",
    "The digest of the model, as `storage-webhook digest` prints it. Another model is not used. With "
    '`storage.kserve.io/uris`: `"sha256"` in the entries.',
    "64 hexadecimal digits",
)
INCLUDE = Key(
    PREFIX + "include",
    "Patterns of the files to download, for models in object stores and on hubs.",
    "`*.safetensors,*.json`, or a JSON list",
)
EXCLUDE = Key(PREFIX + "exclude", "Patterns of the files to leave out.", "`*.bin,*.h5`, or a JSON list")

ENV = Key(
    PREFIX + "env",
    "Environment variables of the init container, with names that the setting `storageDefaults.overrides.env` allows. "
    "Secrets only as `valueFrom`.",
    'a JSON list: `[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}, …]`',
)
ENV_FROM_CONTAINER = Key(
    PREFIX + "env-from-container",
    "Whether the init container gets the variables of the first target container whose names the setting "
    "`storageDefaults.overrides.env` allows, such as `HF_TOKEN`.",
    "`true` or `false` (default), in any case",
)

# --- Set on Deployments or their pod templates --------------------------------------------------------------------

ROLLOUT_STRATEGY = Key(
    PREFIX + "rollout-strategy",
    "The Deployment's strategy, if its author did not set one.",
    "`Recreate`, `RollingUpdate`, or a DeploymentStrategy as JSON",
)
PROGRESS_DEADLINE = Key(
    PREFIX + "progress-deadline",
    "The Deployment's progressDeadlineSeconds, if its author did not set it.",
    "a duration, such as `30m`, `1h30m` or `900s`",
)
# On the next update, the webhook tells its own values from the author's by this record.
ROLLOUT_APPLIED = Key(
    PREFIX + "rollout-applied", "Written by the webhook on Deployments: the fields that it set.", "a JSON object"
)

# The label is part of the webhook's selectors, so that it works while the webhook is down. It is also checked here,
# in case the webhook was registered without these selectors.
INJECT = Key(PREFIX + "inject", "Label on a pod or a namespace: turns injection off.", "`disabled`; others only warn")

# --- Set by KServe's controllers ----------------------------------------------------------------------------------

INTERNAL = "internal.serving.kserve.io/"

# KServe's internal annotations are read only on pods with this label.
INFERENCE_SERVICE = Key(
    "serving.kserve.io/inferenceservice", "Label: the pod belongs to this InferenceService.", "a name"
)
SOURCE_URI = Key(INTERNAL + "storage-initializer-sourceuri", "The model's URI.", "a storage URI")
AGENT = Key(INTERNAL + "agent", "The model agent downloads the model: nothing is injected.", "any")
STORAGE_SPEC = Key(INTERNAL + "storage-spec", "Credentials come from the storage-config Secret.", "`true`")
STORAGE_SPEC_KEY = Key(INTERNAL + "storage-spec-key", "The key of the entry in the storage-config Secret.", "a key")
STORAGE_SPEC_PARAM = Key(
    INTERNAL + "storage-spec-param", "Parameters that override those of the entry.", "a JSON object of strings"
)
STORAGE_CONTAINER_NAME = Key(
    INTERNAL + "storage-container-name",
    "The ClusterStorageContainer to use.",
    "a ClusterStorageContainer's name",
)
CONFIDENTIAL_ENABLED = Key(
    INTERNAL + "confidential-enabled", "Sets `CONFIDENTIAL_ENABLED=true` on the init container.", "`true`"
)
CONFIDENTIAL_RESOURCE_ID = Key(
    INTERNAL + "confidential-resource-id", "Sets `CONFIDENTIAL_RESOURCE_ID` on the init container.", "an id"
)
# In KServe 0.15-0.17, its value is the model's directory in the cache.
LOCAL_MODEL = Key(INTERNAL + "localmodel", "Label: the model is cached on the node.", "a LocalModelCache's name")
LOCAL_MODEL_SOURCE_URI = Key(
    INTERNAL + "localmodel-sourceuri", "The URI that the cached model was downloaded from.", "a storage URI"
)
LOCAL_MODEL_PVC_NAME = Key(INTERNAL + "localmodel-pvc-name", "The claim that holds the cache.", "a claim's name")
INITIALIZER_UID = Key(
    "serving.kserve.io/storage-initializer-uid",
    "The init container's runAsUser (Istio CNI with DNS proxying).",
    "a user id",
)

# --- Set by others ------------------------------------------------------------------------------------------------

DEFAULT_CONTAINER = Key(
    "kubectl.kubernetes.io/default-container",
    "The target container in pods that KServe does not manage.",
    "a container's name",
)
ISTIO_INTERCEPTION_MODE = Key(
    "sidecar.istio.io/interceptionMode",
    "With `REDIRECT` and Istio CNI, the init container runs with the proxy's user id.",
    "a mode",
)
ISTIO_STATUS = Key(
    "sidecar.istio.io/status", "What Istio injected. The webhook reads the names of the sidecars.", "a JSON object"
)

# --- Set on service accounts and Secrets --------------------------------------------------------------------------

ROLE_ARN = Key(
    "eks.amazonaws.com/role-arn",
    "On a service account: the AWS role of its pods. The init container then gets the S3 settings.",
    "an ARN",
)
GCP_SERVICE_ACCOUNT = Key(
    "iam.gke.io/gcp-service-account",
    "On a service account: the Google service account of its pods. Part of the shared cache's key.",
    "an email address",
)
AZURE_CLIENT_ID = Key(
    "azure.workload.identity/client-id",
    "On a service account: the Azure identity of its pods. Part of the shared cache's key.",
    "a client ID",
)
IDENTITIES: tuple[Key, ...] = (ROLE_ARN, GCP_SERVICE_ACCOUNT, AZURE_CLIENT_ID)
"""The annotations of a service account that give its pods an identity in a cloud."""

# On a service account, they count for `s3://` models without a Secret with S3 credentials, and with an AWS role.
_S3 = "serving.kserve.io/s3-"
_ON_S3 = "On a Secret with S3 credentials, or a service account: "

S3_ENDPOINT = Key(_S3 + "endpoint", _ON_S3 + "the endpoint of the S3 service.", "a host or URL")
S3_USE_HTTPS = Key(_S3 + "usehttps", _ON_S3 + "the scheme, if the endpoint has none.", "`0` or `false` for plain HTTP")
S3_VERIFY_SSL = Key(
    _S3 + "verifyssl", _ON_S3 + "whether certificates are verified.", "`0` or `false` turns verification off"
)
S3_ANONYMOUS = Key(_S3 + "useanoncredential", _ON_S3 + "access without credentials.", "`true` or `false`")
S3_REGION = Key(_S3 + "region", _ON_S3 + "the region.", "a region's name")
S3_VIRTUAL_BUCKET = Key(
    _S3 + "usevirtualbucket", _ON_S3 + "whether the bucket's name is part of the host.", "`true` or `false`"
)
S3_ACCELERATE = Key(_S3 + "useaccelerate", _ON_S3 + "whether to use transfer acceleration.", "`true` or `false`")
S3_CA_BUNDLE = Key(_S3 + "cabundle", _ON_S3 + "the file with CA certificates.", "a path")
S3_CA_BUNDLE_CONFIG_MAP = Key(
    _S3 + "cabundle-configmap", _ON_S3 + "the ConfigMap with CA certificates.", "a ConfigMap's name"
)

ALL: tuple[Key, ...] = tuple(value for value in globals().values() if isinstance(value, Key))
KNOWN: frozenset[str] = frozenset(key for key in ALL if key.startswith(PREFIX)) - {INJECT}
CREDENTIAL_ANNOTATIONS: frozenset[str] = frozenset(key for key in ALL if key in IDENTITIES or key.startswith(_S3))
"""The annotations that are read from service accounts and Secrets. All others are dropped."""
LEGACY_ANNOTATIONS: dict[str, str] = {
    f"serving.kubeflow.org/{key.partition('/')[2]}": key
    for key in sorted(CREDENTIAL_ANNOTATIONS)
    if key.startswith(_S3)
}
"""The annotations that replaced those of KFServing, as KServe was called before 0.7, by their old names."""
