"""Pods that only one of the two webhooks denies, for an intended reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.kserve_corpus.recorded import INITIALIZER, Case
from webhook.admission.outcome import Outcome

INTERNAL = "internal.serving.kserve.io/"
_RESOURCES = ("cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit")
_MODES = ("modelcar", "native", "fetch")


class IntendedDenial(NamedTuple):
    """A class of pods that this webhook denies and KServe admits."""

    name: str
    sentence: str
    message: str
    """A regular expression for the whole denial message."""
    applies: Callable[[Case], bool]

    def explains(self, case: Case, outcome: Outcome) -> bool:
        """Whether this is the denial of the pod."""
        return re.fullmatch(self.message, outcome.message, re.DOTALL) is not None and self.applies(case)


class IntendedAdmission(NamedTuple):
    """A class of pods for which KServe fails and this webhook does not."""

    name: str
    sentence: str
    explains: Callable[[Case, Outcome], bool]


def _suffix(case: Case) -> str:
    return case.uri.partition("://")[0].removeprefix("oci+") if case.uri.startswith("oci+") else ""


def _claim(case: Case) -> tuple[str, str]:
    """The claim and its path, of a URI or of a cached model."""
    is_cached = f"{INTERNAL}localmodel" in case.labels
    claim, _, path = case.uri.removeprefix("pvc://").partition("/")
    return (case.annotations.get(f"{INTERNAL}localmodel-pvc-name", ""), path) if is_cached else (claim, path)


def _is_claim_name(name: str) -> bool:
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    return re.fullmatch(rf"{label}(\.{label})*", name, re.ASCII) is not None


def _cached_elsewhere(case: Case) -> bool:
    source = case.annotations.get(f"{INTERNAL}localmodel-sourceuri", "").rstrip("/")
    return f"{INTERNAL}localmodel" in case.labels and not (source and f"{case.uri}/".startswith(f"{source}/"))


def _names(items: Any) -> set[str]:
    return {item["name"] for item in items or ()}


def _mounts(case: Case) -> set[str]:
    return {mount["mountPath"] for container in case.own_containers for mount in container.get("volumeMounts") or ()}


def _missing_secret(case: Case) -> bool:
    listed = _names((case.service_account or {}).get("secrets"))
    names = listed if case.named_secret is None else {case.named_secret}
    return any(not case.secret(name) for name in names)


DENIED: tuple[IntendedDenial, ...] = (
    IntendedDenial(
        "OCI is off",
        "A URI such as `oci+native://` is denied, where KServe injects nothing.",
        r".*: OCI models are not enabled.*",
        lambda case: _suffix(case) in _MODES and case.settings.storage_initializer.oci_mode is None,
    ),
    IntendedDenial(
        "Unknown OCI scheme",
        "`oci+anything://` is denied, with a message that lists the three valid schemes.",
        r".*is not a known scheme: use oci:// or one of .*",
        lambda case: case.uri.startswith("oci+") and _suffix(case) not in _MODES,
    ),
    IntendedDenial(
        "Image reference",
        "An image that has no valid reference is denied.",
        r".*is not an image reference: .*",
        lambda case: case.image_mode is not None,
    ),
    IntendedDenial(
        "Placeholder without a storage spec",
        "A URI that begins with `<scheme-placeholder>://` is denied without a storage spec.",
        r".* begins with <scheme-placeholder>://, .*",
        lambda case: case.annotations.get(f"{INTERNAL}storage-spec") != "true" and "<scheme-" in case.uri,
    ),
    IntendedDenial(
        "Cached model of another URI",
        "A model whose URI is not below the cached one is denied, where KServe mounts a path that does not exist.",
        r".*(localmodel-sourceuri is missing|is cached on the node \(annotation .*localmodel-sourceuri\))",
        _cached_elsewhere,
    ),
    IntendedDenial(
        "Empty URI",
        "An empty URI is denied.",
        r".*-sourceuri is empty: .*",
        lambda case: not case.uri,
    ),
    IntendedDenial(
        "Name of a claim",
        "A claim without a valid name is denied.",
        r".*(does not name a claim|is not a valid name of a PersistentVolumeClaim): .*",
        lambda case: not _is_claim_name(_claim(case)[0]),
    ),
    IntendedDenial(
        "`..` in a claim's path",
        "The path is denied, as the API server does.",
        r".*: the path must not contain '\.\.': .*",
        lambda case: ".." in _claim(case)[1].split("/"),
    ),
    IntendedDenial(
        "Name of a volume",
        "A volume of the pod that has the name of another one that must be added is denied, where KServe uses it.",
        r"the pod already has a volume .*: rename it",
        lambda case: bool(
            _names(case.spec.get("volumes")) & {"kserve-pvc-source", "kserve-provision-location", "cabundle-cert"}
        ),
    ),
    IntendedDenial(
        "Mount at the model's path",
        "A volume of the pod that is mounted at the model's path is denied, where KServe mounts another one there.",
        r"container .* already mounts volume .*: move that mount, or .*",
        lambda case: bool(_mounts(case) & {"/mnt/models", "/mnt"}),
    ),
    IntendedDenial(
        "Volume for the download",
        "A volume `kserve-provision-location` of the pod that is not writable is denied.",
        r"the model cannot be downloaded to the pod's volume .*",
        lambda case: "kserve-provision-location" in _names(case.spec.get("volumes")),
    ),
    IntendedDenial(
        "Status of Istio",
        "An invalid status is denied, with a message that names it, where KServe panics if it needs it.",
        r"annotation sidecar.istio.io/status .*",
        lambda case: case.annotations.get("sidecar.istio.io/interceptionMode") == "REDIRECT",
    ),
    IntendedDenial(
        "Missing Secret",
        "A Secret that the pod names and that does not exist is denied, also without a service account.",
        r"Secret .* does not exist: create it, or name another",
        _missing_secret,
    ),
    IntendedDenial(
        "Secret of the storage spec",
        "The Secret that the pod names by one of KServe's annotations must have the entry that the pod names.",
        r".*storage-spec-key .* names an entry of Secret .*",
        lambda case: case.named_secret is not None and not case.credentials.get("storageSecretNameAnnotation"),
    ),
    IntendedDenial(
        "Invalid `https-host` of the download",
        "A Secret with a host that cannot be the name of a variable is denied if the download may need it.",
        r"Secret .*: key https-host must be a host name, such as models.example.com",
        lambda case: case.uri.lower().startswith(("http://", "https://")),
    ),
)


def _defaults(case: Case, outcome: Outcome) -> bool:
    given = json.loads(case.config.get("storageInitializer", "{}"))
    return any(not given.get(key) for key in _RESOURCES)


def _is_unused(case: Case, outcome: Outcome) -> bool:
    """Whether KServe reads what the pod does not need, because nothing is downloaded into it."""
    added = _names(((outcome.mutated or case.pod)["spec"]).get("initContainers")) - _names(
        case.spec.get("initContainers")
    )
    reads = (
        case.annotations.get(f"{INTERNAL}storage-container-name")
        or case.annotations.get(f"{INTERNAL}storage-spec") == "true"
        or case.storage_containers
    )
    return INITIALIZER not in added and bool(reads)


def _entry(case: Case, outcome: Outcome) -> bool:
    params = case.storage_parameters
    return case.uri.startswith("<scheme-placeholder>://") and bool(params.get("type")) and not params.get("bucket")


ADMITTED: tuple[IntendedAdmission, ...] = (
    IntendedAdmission(
        "Resources that the ConfigMap leaves out",
        "They have defaults, where KServe fails.",
        _defaults,
    ),
    IntendedAdmission(
        "ClusterStorageContainers and parameters that are not needed",
        "They are not read for a pod without a download, where KServe fails if they are missing or invalid.",
        _is_unused,
    ),
    IntendedAdmission(
        "Claim with white space around its URI",
        "The claim is mounted without credentials, where KServe takes the URI for a download and may fail.",
        lambda case, outcome: case.written_uri != case.uri and case.uri.startswith("pvc://"),
    ),
    IntendedAdmission(
        "Model agent",
        "Pods with KServe's model agent are admitted unchanged, where KServe fails if it cannot inject the agent.",
        lambda case, outcome: f"{INTERNAL}agent" in case.annotations and outcome.reason == "agent-injected",
    ),
    IntendedAdmission(
        "Bucket of the storage spec",
        "The bucket of the entry counts even if the parameters name a type, where KServe fails.",
        _entry,
    ),
)
