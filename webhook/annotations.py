"""Every annotation and label that the webhook reads, each with its contract.

Search for a constant's name to find the one place where it is handled. docs/reference.md is made from this file.
"""

from __future__ import annotations


class Key(str):
    """An annotation's or label's name that carries what it means (`meaning`) and what it takes (`values`)."""

    meaning: str
    values: str

    def __new__(cls, name: str, meaning: str, values: str) -> Key:
        key = super().__new__(cls, name)
        key.meaning = meaning
        key.values = values
        return key

    def __reduce__(self) -> tuple[type[Key], tuple[str, str, str]]:
        """What `copy` and `pickle` make an equal key from."""
        return Key, (str(self), self.meaning, self.values)


OURS = "storage.kserve.io/"

# --- The pod's author says where the model is and how it should arrive --------------------------------------------

URI = Key(OURS + "uri", "The model's URI, for pods that KServe does not manage.", "a storage URI")
URIS = Key(
    OURS + "uris",
    "Several sources. Excludes `storage.kserve.io/uri` and `storage.kserve.io/mount-path`.",
    'a JSON list: `[{"uri": "s3://…", "mountPath": "/mnt/base"}, …]`',
)
MOUNT_PATH = Key(OURS + "mount-path", "Where the model goes.", "an absolute path; default `/mnt/models`")
CONTAINERS = Key(
    OURS + "containers",
    "The containers that get the model.",
    "comma-separated names; default: KServe's server containers, else the default container, else the first",
)
PATH_TYPE = Key(OURS + "path-type", "What the path of a `pvc://` URI is.", "`auto` (default), `directory`, `file`")
PVC_MOUNT = Key(
    OURS + "pvc-mount",
    "How a `pvc://` model arrives: the claim mounted in place, or copied by the init container.",
    "`direct` or `copy`; default: the setting `enableDirectPvcVolumeMount`",
)
READ_ONLY = Key(
    OURS + "readonly",
    "Whether the server containers mount the model read-only.",
    "`true` (default) or `false`, in any case",
)
IMAGE = Key(OURS + "image", "The init container's image, if the settings allow it.", "an image reference")
CPU_REQUEST = Key(OURS + "cpu-request", "The init container's CPU request.", "a quantity")
CPU_LIMIT = Key(OURS + "cpu-limit", "The init container's CPU limit.", "a quantity")
MEMORY_REQUEST = Key(OURS + "memory-request", "The init container's memory request.", "a quantity")
MEMORY_LIMIT = Key(OURS + "memory-limit", "The init container's memory limit.", "a quantity")
EPHEMERAL_STORAGE_REQUEST = Key(
    OURS + "ephemeral-storage-request", "The init container's ephemeral-storage request.", "a quantity"
)
EPHEMERAL_STORAGE_LIMIT = Key(
    OURS + "ephemeral-storage-limit", "The init container's ephemeral-storage limit.", "a quantity"
)
CACHE = Key(
    OURS + "cache",
    "Download once into this claim and share it between pods.",
    "`pvc://<claim>[/<dir>]`",
)

# --- On Deployments, or on their pod templates -----------------------------------------------------------------

ROLLOUT_STRATEGY = Key(
    OURS + "rollout-strategy",
    "The Deployment's strategy, where its author left it unset.",
    "`Recreate`, `RollingUpdate`, or a DeploymentStrategy as JSON",
)
PROGRESS_DEADLINE = Key(
    OURS + "progress-deadline",
    "The Deployment's progressDeadlineSeconds, where its author left it unset.",
    "a duration, such as `30m`, `1h30m` or `900s`",
)
# Written by the webhook: what it set, so that it can tell its own values from the author's on the next update.
ROLLOUT_APPLIED = Key(
    OURS + "rollout-applied", "Written by the webhook on Deployments: the fields it set.", "a JSON object"
)

# Label, on the pod or its namespace. It stands in the webhook's selectors, so that it works while the webhook is down;
# it is honoured here as well, for a webhook registered without them.
INJECT = Key(OURS + "inject", "Label: nothing is injected into this pod (or namespace).", "`disabled`")

# --- What KServe's controllers write on the pods they make --------------------------------------------------------

INTERNAL = "internal.serving.kserve.io/"

# Label. KServe's internal annotations count only on pods that carry it.
INFERENCE_SERVICE = Key(
    "serving.kserve.io/inferenceservice", "Label: the pod belongs to this InferenceService.", "a name"
)
SOURCE_URI = Key(INTERNAL + "storage-initializer-sourceuri", "The model's URI.", "a storage URI")
AGENT = Key(INTERNAL + "agent", "The model agent downloads: nothing is injected.", "any")
STORAGE_SPEC = Key(INTERNAL + "storage-spec", "Credentials come from the storage-config secret.", "`true`")
STORAGE_SPEC_KEY = Key(INTERNAL + "storage-spec-key", "The entry of the storage-config secret.", "a key")
STORAGE_SPEC_PARAM = Key(
    INTERNAL + "storage-spec-param", "Parameters over the entry's own.", "a JSON object of strings"
)
STORAGE_CONTAINER_NAME = Key(
    INTERNAL + "storage-container-name",
    "Use this ClusterStorageContainer.",
    "a ClusterStorageContainer's name",
)
CONFIDENTIAL_ENABLED = Key(
    INTERNAL + "confidential-enabled", "Sets `CONFIDENTIAL_ENABLED=true` on the init container.", "`true`"
)
CONFIDENTIAL_RESOURCE_ID = Key(
    INTERNAL + "confidential-resource-id", "Sets `CONFIDENTIAL_RESOURCE_ID` on the init container.", "an id"
)
# Label. Its value is the directory of the model in the cache for KServe 0.15-0.17.
LOCAL_MODEL = Key(INTERNAL + "localmodel", "Label: the model is cached on the node.", "a LocalModelCache's name")
LOCAL_MODEL_SOURCE_URI = Key(
    INTERNAL + "localmodel-sourceuri", "The URI that the cache was filled from.", "a storage URI"
)
LOCAL_MODEL_PVC_NAME = Key(INTERNAL + "localmodel-pvc-name", "The claim that holds the cache.", "a claim's name")
INITIALIZER_UID = Key(
    "serving.kserve.io/storage-initializer-uid",
    "The init container's runAsUser (Istio CNI with DNS proxying).",
    "a user id",
)

# --- What others write --------------------------------------------------------------------------------------------

DEFAULT_CONTAINER = Key(
    "kubectl.kubernetes.io/default-container",
    "The container that gets the model on plain pods.",
    "a container's name",
)
ISTIO_INTERCEPTION_MODE = Key(
    "sidecar.istio.io/interceptionMode",
    "With `REDIRECT` and Istio CNI the init container runs as the proxy.",
    "a mode",
)
ISTIO_STATUS = Key("sidecar.istio.io/status", "What Istio injected; its sidecars are looked up in it.", "a JSON object")

# --- What service accounts and Secrets carry -----------------------------------------------------------------------

ROLE_ARN = Key(
    "eks.amazonaws.com/role-arn",
    "On a service account: pods act as this AWS role, so the S3 settings are given to the init container.",
    "an ARN",
)

_S3 = "serving.kserve.io/s3-"
_ON_S3 = "On a Secret with S3 credentials, or a service account with an AWS role: "

S3_ENDPOINT = Key(_S3 + "endpoint", _ON_S3 + "where the S3 service is.", "a host or URL")
S3_USE_HTTPS = Key(_S3 + "usehttps", _ON_S3 + "the scheme of an endpoint that has none.", "`0` for plain HTTP")
S3_VERIFY_SSL = Key(_S3 + "verifyssl", _ON_S3 + "whether certificates are checked.", "`0` trusts any")
S3_ANONYMOUS = Key(_S3 + "useanoncredential", _ON_S3 + "access without credentials.", "`true` or `false`")
S3_REGION = Key(_S3 + "region", _ON_S3 + "the region.", "a region's name")
S3_VIRTUAL_BUCKET = Key(_S3 + "usevirtualbucket", _ON_S3 + "the bucket's name is in the host.", "`true` or `false`")
S3_ACCELERATE = Key(_S3 + "useaccelerate", _ON_S3 + "transfer acceleration.", "`true` or `false`")
S3_CA_BUNDLE = Key(_S3 + "cabundle", _ON_S3 + "the file with CA certificates.", "a path")
S3_CA_BUNDLE_CONFIG_MAP = Key(
    _S3 + "cabundle-configmap", _ON_S3 + "the ConfigMap with CA certificates.", "a ConfigMap's name"
)

ALL: tuple[Key, ...] = tuple(value for value in globals().values() if isinstance(value, Key))
KNOWN_OURS: frozenset[str] = frozenset(key for key in ALL if key.startswith(OURS)) - {INJECT}
OF_CREDENTIALS: frozenset[str] = frozenset(key for key in ALL if key == ROLE_ARN or key.startswith(_S3))
"""What is read of service accounts and Secrets; of their other annotations nothing is kept."""
