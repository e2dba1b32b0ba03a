"""What a pod asks for: its annotations and labels, read once."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from webhook import annotations as keys
from webhook import oci
from webhook import uri as storage_uri
from webhook.errors import Denied, Forbidden, shown
from webhook.pod import INIT_CONTAINER_NAME, MODEL_PATH, check_shape, container_names, find, metadata_map
from webhook.settings.model import OciMode, Settings
from webhook.uri import ClaimPath

SERVER_CONTAINERS = ("kserve-container", "worker-container")
TRANSFORMER_CONTAINER = "transformer-container"

_MAX_SOURCES = 100
_MAX_TARGETS = 20
_MAX_UNKNOWN = 16
_MAX_NAME = 100
_MOUNT_PATH = re.compile(r"/[^\x00-\x1f\x7f:]+")


class Skip(NamedTuple):
    """Nothing is injected, and why: one of `SKIP_REASONS`."""

    reason: str


SKIP_REASONS = {
    "no-uri": "The pod does not say where a model is.",
    "disabled": "The pod carries the label `storage.kserve.io/inject: disabled`.",
    "agent-injected": "KServe's model agent downloads the model.",
    "already-injected": "An init container `storage-initializer` is there already, and needs no change.",
    "not-a-create": "The request does not create a pod.",
    "not-a-pod": "The request is about another kind of object.",
    "not-a-deployment": "The request is about another kind of object.",
    "not-a-change": "The request neither creates nor updates the object.",
    "pods-denied": "The pods of the Deployment would be denied; the warning says why.",
    "knative-owned": "Knative owns the Deployment and would undo what others change in it.",
}


_IMAGE_WAYS = {"modelcar": "modelcars", "native": "images"}


class Source(NamedTuple):
    """One model and the directory where it is to arrive."""

    uri: str
    mount_path: str
    origin: str
    """The annotation that asked for it, as named in messages."""
    claim: ClaimPath | None = None
    """Where the model lies when it lies in a claim."""
    is_file: bool = False
    """The claim's path is a single file."""
    image: oci.Image | None = None
    """The image that holds the model, when it is one and OCI is on."""

    @property
    def kind(self) -> str:
        """The scheme, for metrics and audit annotations; an image's tells how it arrives."""
        return f"oci+{self.image.mode}" if self.image else storage_uri.source_kind(self.uri)

    def is_image(self, *modes: OciMode) -> bool:
        """Whether the model is an image that arrives in one of these ways."""
        return self.image is not None and self.image.mode in modes


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a pod asks for, checked as far as it can be without looking anything up."""

    namespace: str
    annotations: Mapping[str, str]
    """The pod's annotations, for steps that have one of their own; KServe's internal ones only on KServe's pods."""
    sources: tuple[Source, ...] = ()
    several: bool = False
    """The sources came as a list, so that volumes are named after their mount paths."""
    targets: tuple[str, ...] = ()
    """Names of the containers that get the model."""
    read_only: bool = True
    direct: bool = True
    """Claims are mounted in place instead of copied by the init container."""
    already_injected: bool = False
    """An init container `storage-initializer` is there: only what may come later is still applied."""
    service_account: str = "default"
    warnings: tuple[str, ...] = field(default=())

    # The sources by how they arrive, once for all the steps that ask.
    mounted: tuple[Source, ...] = field(init=False, compare=False)
    """The sources whose claims are mounted in place."""
    modelcars: tuple[Source, ...] = field(init=False, compare=False)
    """The sources whose images run beside the servers."""
    images: tuple[Source, ...] = field(init=False, compare=False)
    """The sources whose images Kubernetes mounts."""
    downloaded: tuple[Source, ...] = field(init=False, compare=False)
    """The sources that the init container brings."""

    def __post_init__(self) -> None:
        ways: dict[str, list[Source]] = {"mounted": [], "modelcars": [], "images": [], "downloaded": []}
        for source in self.sources:
            ways[self._way(source)].append(source)
        for way, sources in ways.items():
            object.__setattr__(self, way, tuple(sources))

    def _way(self, source: Source) -> str:
        if source.claim and self.direct:
            return "mounted"
        return _IMAGE_WAYS.get(source.image.mode, "downloaded") if source.image else "downloaded"

    @property
    def mount_path(self) -> str:
        """Where a single model arrives."""
        return self.sources[0].mount_path


def read(pod: Mapping[str, Any], namespace: str, settings: Settings) -> ModelRequest | Skip:
    """What the pod asks for, or why it asks for nothing.

    Raises Denied when an annotation is wrong or contradicts another, Forbidden when the settings do not allow it.
    """
    labels, annotations = metadata_map(pod, "labels"), metadata_map(pod, "annotations")
    if labels.get(keys.INJECT) == "disabled":
        return Skip("disabled")
    # Most pods do not ask, and go no further.
    if keys.INFERENCE_SERVICE not in labels:
        if keys.URI not in annotations and keys.URIS not in annotations:
            return Skip("no-uri")
        annotations = _without_internal(annotations)
    if keys.AGENT in annotations:
        return Skip("agent-injected")
    asks = any(key in annotations for key in (keys.URI, keys.URIS, keys.SOURCE_URI))
    check_shape(pod)
    if find(pod["spec"].get("initContainers"), INIT_CONTAINER_NAME):
        return _read_reinvoked(namespace, settings, annotations)
    if not asks:
        return Skip("no-uri")
    return _read_request(pod, namespace, settings, annotations, labels)


def _read_reinvoked(namespace: str, settings: Settings, annotations: Mapping[str, str]) -> ModelRequest:
    warnings = list(unknown_annotations(annotations))
    read_only = _read_read_only(annotations, namespace, settings, warnings)
    return ModelRequest(namespace, annotations, read_only=read_only, already_injected=True, warnings=tuple(warnings))


def _read_request(
    pod: Mapping[str, Any],
    namespace: str,
    settings: Settings,
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
) -> ModelRequest:
    warnings = list(unknown_annotations(annotations))
    several = keys.URIS in annotations
    _read_path_type(annotations)
    sources = _read_uris(annotations, settings) if several else (_read_uri(annotations, labels, settings),)
    images = [source.image for source in sources if source.image]
    return ModelRequest(
        namespace=namespace,
        annotations=annotations,
        sources=sources,
        several=several,
        targets=_read_targets(_own_containers(pod, images), annotations, labels, warnings),
        read_only=_read_read_only(annotations, namespace, settings, warnings),
        direct=_read_direct(annotations, several, settings),
        service_account=pod["spec"].get("serviceAccountName") or "default",
        warnings=tuple(warnings),
    )


def _without_internal(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """What counts on pods that are not KServe's: anybody may write its internal annotations."""
    return {key: value for key, value in annotations.items() if not key.startswith(keys.INTERNAL)}


def unknown_annotations(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each `storage.kserve.io/` annotation that does not exist (the first few), with the nearest name."""
    unknown = [key for key in annotations if key.startswith(keys.OURS) and key not in keys.KNOWN_OURS]
    return tuple(_unknown(key) for key in unknown[:_MAX_UNKNOWN]) if unknown else ()


def _unknown(key: str) -> str:
    if key == keys.INJECT:
        return f"annotation {key} has no effect: it is a label; set it there"
    # Looking for the nearest name takes time, and no name of ours is that long.
    near = difflib.get_close_matches(key, keys.KNOWN_OURS, n=1) if len(key) < _MAX_NAME else []
    return f"annotation {shown(key)} is not known and has no effect" + (f"; did you mean {near[0]}?" if near else "")


# --- Where the model is -------------------------------------------------------------------------------------------


def _read_uri(annotations: Mapping[str, str], labels: Mapping[str, str], settings: Settings) -> Source:
    ours, theirs = annotations.get(keys.URI), annotations.get(keys.SOURCE_URI)
    origin = _named(keys.URI if ours is not None else keys.SOURCE_URI)
    uri = storage_uri.check(ours if ours is not None else theirs or "", origin)
    if ours is not None and theirs is not None and uri != theirs.strip():
        raise Denied(
            f"annotations {keys.URI} {shown(ours)} and {keys.SOURCE_URI} {shown(theirs)} name different models: "
            "remove one of them"
        )
    path = check_mount_path(annotations.get(keys.MOUNT_PATH, MODEL_PATH), _named(keys.MOUNT_PATH))
    uri, origin = _local_model(uri, origin, annotations, labels, settings)
    return _source(uri, path, origin, annotations, settings)


def _read_uris(annotations: Mapping[str, str], settings: Settings) -> tuple[Source, ...]:
    for other in (keys.URI, keys.SOURCE_URI, keys.MOUNT_PATH):
        if other in annotations:
            raise Denied(f"annotations {keys.URIS} and {other} exclude each other: remove one of them")
    items = _parse_list(annotations[keys.URIS])
    sources = []
    for index, item in enumerate(items):
        origin = f"{_named(keys.URIS)}, entry {index + 1}"
        uri, path = _parse_entry(item, origin)
        sources.append(
            _source(storage_uri.check(uri, origin), check_mount_path(path, origin), origin, annotations, settings)
        )
    _check_unique([source.mount_path for source in sources])
    _check_nesting(sources)
    return tuple(sources)


def _parse_list(text: str) -> list[Any]:
    example = '[{"uri": "s3://bucket/model", "mountPath": "/mnt/base"}]'
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise Denied(f"{_named(keys.URIS)} {shown(text)} is not JSON: write {example}") from None
    if not isinstance(items, list) or not 0 < len(items) <= _MAX_SOURCES:
        raise Denied(f"{_named(keys.URIS)} must be a list of 1 to {_MAX_SOURCES} entries: write {example}")
    return items


def _parse_entry(item: Any, origin: str) -> tuple[str, str]:
    if not isinstance(item, dict) or set(item) != {"uri", "mountPath"}:
        raise Denied(f'{origin} must be an object with exactly "uri" and "mountPath"')
    if not all(isinstance(value, str) for value in item.values()):
        raise Denied(f'{origin}: "uri" and "mountPath" must be strings')
    return item["uri"], item["mountPath"]


def _check_unique(paths: list[str]) -> None:
    for path in paths:
        if paths.count(path) > 1:
            raise Denied(f"{_named(keys.URIS)}: mount path {shown(path)} is used more than once: give each its own")


def _check_nesting(sources: list[Source]) -> None:
    for outer in sources:
        for inner in sources:
            if inner.mount_path.startswith(outer.mount_path + "/") and (reason := _cannot_nest(outer, inner)):
                raise Denied(
                    f"{_named(keys.URIS)}: mount path {shown(inner.mount_path)} lies inside {shown(outer.mount_path)}, "
                    f"{reason}: put the two beside each other"
                )


def _cannot_nest(outer: Source, inner: Source) -> str:
    # Inside a claim or an image the runtime would have to make the mount point in what is not its own.
    if outer.claim:
        return "which is a claim"
    if outer.image and outer.is_image("modelcar", "native"):
        return f"which is an image ({outer.image.mode})"
    return "where a modelcar cannot be linked" if inner.is_image("modelcar") else ""


def check_mount_path(path: str, origin: str) -> str:
    """The path without outer white space and a trailing slash.

    Raises Denied unless it is absolute, not `/`, and free of `..` and `:` (Kubernetes: VolumeMount).
    """
    path = path.strip(" \t\r\n")
    segments = path.split("/")
    if not _MOUNT_PATH.fullmatch(path) or ".." in segments or len(path) > storage_uri.MAX_LENGTH:
        raise Denied(f"{origin}: {shown(path)} cannot be a mount path: write an absolute path without '..' and ':'")
    normal = "/" + "/".join(segment for segment in segments if segment not in ("", "."))
    if normal == "/":
        raise Denied(f"{origin}: the model cannot be mounted at /: name a directory, such as {MODEL_PATH}")
    return normal


def _source(uri: str, path: str, origin: str, annotations: Mapping[str, str], settings: Settings) -> Source:
    if image := oci.read(uri, origin, settings.storage_initializer):
        return Source(image.uri, path, origin, image=image)
    if not storage_uri.is_claim(uri):
        return Source(uri, path, origin)
    claim = storage_uri.parse_claim(uri, origin)
    return Source(uri, path, origin, claim, _is_file(claim, annotations, settings))


def _is_file(claim: ClaimPath, annotations: Mapping[str, str], settings: Settings) -> bool:
    path_type = _read_path_type(annotations)
    if path_type == "file" and not claim.path:
        raise Denied(f"{_named(keys.PATH_TYPE)} is file, but the URI names the whole claim: add the file's path")
    if claim.is_directory or path_type == "directory":
        return False
    is_file = path_type == "file" or claim.file_name.lower().endswith(settings.storage_defaults.single_file)
    if is_file and ":" in claim.file_name:
        raise Denied(
            f"the file {shown(claim.file_name)} cannot be mounted, its name holds ':': rename it, or if it is a "
            f"directory, say so with {_named(keys.PATH_TYPE)}: directory"
        )
    return is_file


def _read_path_type(annotations: Mapping[str, str]) -> str:
    path_type = annotations.get(keys.PATH_TYPE, "auto")
    if path_type not in ("auto", "directory", "file"):
        raise Denied(f"{_named(keys.PATH_TYPE)} {shown(path_type)} is not known: write auto, directory or file")
    return path_type


def _local_model(
    uri: str, origin: str, annotations: Mapping[str, str], labels: Mapping[str, str], settings: Settings
) -> tuple[str, str]:
    """The URI of the copy in the node's cache and the annotation that names its claim, when there is one.

    KServe: LocalModelCache; the cached URI covers what lies below it, as a path.
    """
    name = labels.get(keys.LOCAL_MODEL)
    if name is None or keys.INFERENCE_SERVICE not in labels:
        return uri, origin
    cached, claim = annotations.get(keys.LOCAL_MODEL_SOURCE_URI), annotations.get(keys.LOCAL_MODEL_PVC_NAME)
    if not cached or not claim:
        missing = keys.LOCAL_MODEL_PVC_NAME if cached else keys.LOCAL_MODEL_SOURCE_URI
        raise Denied(f"label {keys.LOCAL_MODEL} says that the node caches the model, but {_named(missing)} is missing")
    stem = cached.rstrip("/")
    rest = uri.removeprefix(stem)
    if not f"{uri}/".startswith(f"{stem}/"):
        raise Denied(
            f"{origin} {shown(uri)} does not lie below {shown(cached)}, which the node caches "
            f"({_named(keys.LOCAL_MODEL_SOURCE_URI)})"
        )
    by_name = settings.storage_defaults.local_model_key == "name"
    key = name if by_name else hashlib.sha256(cached.encode()).hexdigest()[:16]
    return f"pvc://{claim}/models/{key}/{rest.lstrip('/')}", _named(keys.LOCAL_MODEL_PVC_NAME)


# --- How it should arrive -----------------------------------------------------------------------------------------


def _own_containers(pod: Mapping[str, Any], images: list[oci.Image]) -> list[str]:
    """The pod's containers without the modelcars that an earlier call may have added."""
    number = sum(image.mode == "modelcar" for image in images)
    modelcars = {oci.numbered(oci.MODELCAR, index) for index in range(number)}
    return [name for name in container_names(pod) if name not in modelcars]


def _read_targets(
    present: list[str], annotations: Mapping[str, str], labels: Mapping[str, str], warnings: list[str]
) -> tuple[str, ...]:
    if keys.CONTAINERS in annotations:
        return _named_targets(annotations[keys.CONTAINERS], present)
    if keys.INFERENCE_SERVICE in labels:
        return _kserve_targets(present)
    if not present:
        raise Denied("the pod has no containers, so there is none to give the model to")
    default = annotations.get(keys.DEFAULT_CONTAINER)
    if default is not None and default not in present:
        warnings.append(
            f"{_named(keys.DEFAULT_CONTAINER)} {shown(default)} names no container of the pod: "
            f"the model goes to {shown(present[0])}; choose with {keys.CONTAINERS}"
        )
    return (default if default in present else present[0],)


def _named_targets(text: str, present: list[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not wanted:
        raise Denied(f"{_named(keys.CONTAINERS)} is empty: name containers of the pod, or remove it")
    if len(wanted) > _MAX_TARGETS:
        raise Denied(f"{_named(keys.CONTAINERS)} names {len(wanted)} containers: at most {_MAX_TARGETS} get the model")
    missing = [name for name in wanted if name not in present]
    if missing:
        names = ", ".join(shown(name) for name in present[:_MAX_TARGETS])
        raise Denied(
            f"{_named(keys.CONTAINERS)} names {shown(missing[0])}, which is no container of the pod; "
            f"its containers are {names}"
        )
    return wanted


def _kserve_targets(present: list[str]) -> tuple[str, ...]:
    server = next((name for name in SERVER_CONTAINERS if name in present), None)
    if server is None:
        raise Denied(
            f"the pod belongs to an InferenceService but has neither a container {SERVER_CONTAINERS[0]} nor a "
            f"{SERVER_CONTAINERS[1]}: name the containers that get the model in annotation {keys.CONTAINERS}"
        )
    return (server, TRANSFORMER_CONTAINER) if TRANSFORMER_CONTAINER in present else (server,)


def _read_read_only(annotations: Mapping[str, str], namespace: str, settings: Settings, warnings: list[str]) -> bool:
    defaults = settings.storage_defaults
    text = annotations.get(keys.READ_ONLY)
    if text is None:
        return defaults.read_only or not defaults.may_write(namespace)
    wanted = text.strip().lower()
    if wanted not in ("true", "false"):
        warnings.append(f"{_named(keys.READ_ONLY)} {shown(text)} is neither true nor false: the model stays read-only")
    if wanted != "false":
        return True
    if not defaults.may_write(namespace):
        raise Forbidden(
            f'{_named(keys.READ_ONLY)} "false" is not allowed in namespace {shown(namespace)}: remove it to mount '
            "the model read-only, or ask the administrator about the setting storageDefaults.allowReadWrite"
        )
    return False


def _read_direct(annotations: Mapping[str, str], several: bool, settings: Settings) -> bool:
    how = annotations.get(keys.PVC_MOUNT)
    if how not in (None, "direct", "copy"):
        raise Denied(f"{_named(keys.PVC_MOUNT)} {shown(how)} is not known: write direct or copy")
    if several:
        if how == "copy":
            raise Denied(f"{_named(keys.PVC_MOUNT)} copy works with one URI only: with {keys.URIS} claims are mounted")
        return True
    return how == "direct" or (how is None and settings.storage_initializer.enable_direct_pvc_volume_mount)


def _named(key: str) -> str:
    return f"annotation {key}"
