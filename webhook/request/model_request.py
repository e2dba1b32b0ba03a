"""A pod's request for a model: sources, targets and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec.structs import force_setattr

from webhook import uri as storage_uri
from webhook.request import oci
from webhook.settings.kserve_keys import OciMode
from webhook.uri import ClaimPath

MAX_SOURCES = 100
"""The maximum number of models of a pod."""


class Skip(NamedTuple):
    """Nothing is injected; the reason is a key of `SKIP_REASONS`."""

    reason: str
    warnings: tuple[str, ...] = ()


SKIP_REASONS = {
    "no-uri": "The pod does not request a model.",
    "disabled": "The pod has the label `storage.kserve.io/inject: disabled`.",
    "agent-injected": "KServe's model agent downloads the model.",
    "already-injected": "The pod already has an init container `storage-initializer` that needs no change.",
    "not-a-create": "The request does not create a pod.",
    "not-a-pod": "The object of the request is not a pod.",
    "not-a-deployment": "The object of the request is not a Deployment.",
    "not-a-workload": "The object of the request is not a Deployment, StatefulSet, Job or CronJob.",
    "not-a-change": "The request does not create or update the object.",
    "pods-denied": "The pods of the workload would be denied. A warning gives the reason.",
    "knative-owned": "Knative owns the Deployment and would revert changes to it.",
    "owned": "A controller owns the workload, so its author would not see warnings.",
    "being-deleted": "The workload is being deleted.",
    "same-template": "The update changes neither the pod template nor the webhook's annotations and labels.",
    "lookup-failed": "The cluster did not answer a lookup, so the pods of the workload were not checked.",
    "settings-missing": "The webhook has not loaded its settings yet, so the pods of the workload were not checked.",
    "unexpected": "The webhook failed on the workload. Its log gives the reason.",
}

Delivery = Literal["mounted", "modelcars", "images", "downloaded"]
"""How a model reaches its targets."""

_DELIVERIES: tuple[Delivery, ...] = get_args(Delivery)
_DELIVERY_OF_IMAGES: Mapping[str, Delivery] = {"modelcar": "modelcars", "native": "images"}


class Source(NamedTuple):
    """One model and its mount path."""

    uri: str
    mount_path: str
    origin: str
    """The annotation that requests it, for messages."""
    claim: ClaimPath | None = None
    """The model's path in a claim; None for other URIs."""
    is_file: bool = False
    """The claim's path is a single file."""
    image: oci.Image | None = None
    """The image that contains the model; None for other URIs, and when OCI support is off."""
    has_mode: bool = False
    """The scheme of the image says how it is delivered, as in `oci+native`."""
    sha256: str = ""
    """The expected digest; "": none."""
    written: str = ""
    """The URI as the pod writes it, with the placeholder of a storage spec; "" when `uri` is as written."""

    @property
    def kind(self) -> str:
        """The scheme, for metrics and audit annotations; for an image with its mode, such as `oci+native`."""
        return f"oci+{self.image.mode}" if self.image else storage_uri.source_kind(self.uri)

    @property
    def arrival_path(self) -> str:
        """The mount path of the model: the mount path of the source, or of a single file inside it."""
        is_file = self.claim is not None and self.is_file
        return f"{self.mount_path}/{self.claim.file_name}" if self.claim and is_file else self.mount_path

    def is_image(self, *modes: OciMode) -> bool:
        """Whether the model is an image with one of these modes."""
        return self.image is not None and self.image.mode in modes


def delivery(source: Source, *, direct: bool) -> Delivery:
    """How a source is delivered: `mounted`, `modelcars`, `images` or `downloaded`. `direct`: claims are mounted."""
    if source.claim and direct:
        return "mounted"
    return _DELIVERY_OF_IMAGES.get(source.image.mode, "downloaded") if source.image else "downloaded"


class ModelRequest(msgspec.Struct, frozen=True):
    """What a pod requests, checked as far as possible without lookups."""

    namespace: str
    annotations: Mapping[str, str]
    """The pod's annotations, for the steps that read one. KServe's internal ones only for KServe's pods."""
    sources: tuple[Source, ...] = ()
    several: bool = False
    """The sources are from a list annotation. Volumes are then named after their mount paths."""
    targets: tuple[str, ...] = ()
    """The names of the containers that get the model."""
    init_targets: tuple[str, ...] = ()
    """Those of them that are init containers, in the order of the pod."""
    default_targets: bool = False
    """The targets were chosen by default, and the pod does not have the model yet."""
    read_only: bool = True
    direct: bool = True
    """Claims are mounted, not copied by the init container."""
    already_injected: bool = False
    """The pod has an init container `storage-initializer`: only the reinvocation steps run."""
    literal_headers: bool = False
    """The init container of an earlier injection has a header of an HTTP server as text, as KServe injects it."""
    service_account: str = "default"
    pull_secrets: tuple[str, ...] = ()
    """The Secrets in the pod's imagePullSecrets, if the init container pulls an image."""
    warnings: tuple[str, ...] = ()

    # The sources by how they are delivered, computed once for all steps from the fields above.
    mounted: tuple[Source, ...] = ()
    """The sources whose claims are mounted."""
    modelcars: tuple[Source, ...] = ()
    """The sources whose images run as modelcar containers."""
    images: tuple[Source, ...] = ()
    """The sources whose images are mounted as image volumes."""
    downloaded: tuple[Source, ...] = ()
    """The sources that the init container downloads or copies."""

    def __post_init__(self) -> None:
        delivered: dict[Delivery, list[Source]] = {}
        for source in self.sources:
            delivered.setdefault(delivery(source, direct=self.direct), []).append(source)
        for name in _DELIVERIES:
            force_setattr(self, name, tuple(delivered.get(name, ())))

    @property
    def mount_path(self) -> str:
        """The mount path of the first source; the only one unless `several`."""
        return self.sources[0].mount_path
