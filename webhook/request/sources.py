"""The sources of a request: model URIs and mount paths, validated."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook import uri as storage_uri
from webhook.errors import Denied, quoted
from webhook.pod.pod import MODEL_PATH
from webhook.request import oci
from webhook.request.download_options import parse_digest
from webhook.request.model_request import MAX_SOURCES, Source
from webhook.settings.model import Settings
from webhook.uri import ClaimPath

MAX_MOUNT_PATH = 1024
"""In characters. Kubernetes has no limit, but a pod repeats the path in each container and volume."""
MAX_SEGMENTS = 64
"""The maximum number of names in a mount path."""
_MOUNT_PATH = re.compile(r"/[^\x00-\x1f\x7f:]+")


def read_sources(annotations: Mapping[str, str], labels: Mapping[str, str], settings: Settings) -> tuple[Source, ...]:
    """The sources, in the order of the annotation. Raises Denied when a URI, a path or an option is invalid."""
    _read_path_type(annotations)
    if keys.URIS in annotations:
        return _read_uris(annotations, settings)
    return (_read_uri(annotations, labels, settings),)


def _read_uri(annotations: Mapping[str, str], labels: Mapping[str, str], settings: Settings) -> Source:
    own_uri, kserve_uri = annotations.get(keys.URI), annotations.get(keys.SOURCE_URI)
    origin = f"annotation {keys.URI if own_uri is not None else keys.SOURCE_URI}"
    uri = storage_uri.check(own_uri if own_uri is not None else kserve_uri or "", origin)
    if own_uri is not None and kserve_uri is not None and uri != kserve_uri.strip():
        raise Denied(
            f"annotations {keys.URI} {quoted(own_uri)} and {keys.SOURCE_URI} {quoted(kserve_uri)} "
            "name different models: remove one of them"
        )
    path = check_mount_path(annotations.get(keys.MOUNT_PATH, MODEL_PATH), f"annotation {keys.MOUNT_PATH}")
    uri, origin = _local_model(uri, origin, annotations, labels, settings)
    return _with_digest(
        _source(uri, path, origin, annotations, settings), annotations.get(keys.SHA256), f"annotation {keys.SHA256}"
    )


def _read_uris(annotations: Mapping[str, str], settings: Settings) -> tuple[Source, ...]:
    for other in (keys.URI, keys.SOURCE_URI, keys.MOUNT_PATH, keys.SHA256):
        if other in annotations:
            raise Denied(f"annotations {keys.URIS} and {other} cannot be combined: remove one of them")
    items = _parse_list(annotations[keys.URIS])
    sources = []
    for index, item in enumerate(items):
        origin = f"annotation {keys.URIS}, entry {index + 1}"
        uri, path, digest = _parse_entry(item, origin)
        source = _source(storage_uri.check(uri, origin), check_mount_path(path, origin), origin, annotations, settings)
        sources.append(_with_digest(source, digest, origin))
    _check_unique([source.mount_path for source in sources])
    _check_nesting(sources)
    return tuple(sources)


def _parse_list(text: str) -> list[Any]:
    example = '[{"uri": "s3://bucket/model", "mountPath": "/mnt/base"}]'
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise Denied(f"annotation {keys.URIS} {quoted(text)} is not JSON: write {example}") from None
    if not isinstance(items, list) or not 0 < len(items) <= MAX_SOURCES:
        raise Denied(f"annotation {keys.URIS} must be a list of 1 to {MAX_SOURCES} entries: write {example}")
    return items


def _parse_entry(item: Any, origin: str) -> tuple[str, str, str | None]:
    if not isinstance(item, dict) or item.keys() - {"sha256"} != {"uri", "mountPath"}:
        raise Denied(f'{origin} must be an object with exactly "uri" and "mountPath", and if wanted "sha256"')
    if not all(isinstance(value, str) for value in item.values()):
        raise Denied(f'{origin}: "uri", "mountPath" and "sha256" must be strings')
    return item["uri"], item["mountPath"], item.get("sha256")


def _with_digest(source: Source, text: str | None, origin: str) -> Source:
    return source if text is None else source._replace(sha256=parse_digest(text, origin))


def _check_unique(paths: list[str]) -> None:
    path, times = Counter(paths).most_common(1)[0]
    if times > 1:
        raise Denied(
            f"annotation {keys.URIS}: mount path {quoted(path)} is used more than once: "
            "use a different one for each model"
        )


def _check_nesting(sources: list[Source]) -> None:
    for outer in sources:
        prefix = outer.mount_path + "/"
        for inner in sources:
            if inner.mount_path.startswith(prefix) and (reason := _cannot_nest(outer, inner)):
                raise Denied(
                    f"annotation {keys.URIS}: mount path {quoted(inner.mount_path)} is inside "
                    f"{quoted(outer.mount_path)}, {reason}: use mount paths that do not contain each other"
                )


def _cannot_nest(outer: Source, inner: Source) -> str:
    # The container runtime would have to create the mount point inside the claim or the image.
    if outer.claim:
        return "which is a claim"
    if outer.image and outer.is_image("modelcar", "native"):
        return f"which is an image ({outer.image.mode})"
    if outer.sha256:
        return "which has a digest"
    return "where a modelcar cannot be linked" if inner.is_image("modelcar") else ""


def check_mount_path(path: str, origin: str) -> str:
    """The path without white space around it and without a trailing slash.

    Raises Denied when it is too long, relative, `/`, or contains `..` or `:` (Kubernetes: VolumeMount).
    """
    path = path.strip(" \t\r\n")
    if len(path) > MAX_MOUNT_PATH:
        raise Denied(f"{origin}: the mount path is {len(path)} characters long: the maximum is {MAX_MOUNT_PATH}")
    segments = path.split("/")
    if not _MOUNT_PATH.fullmatch(path) or ".." in segments:
        raise Denied(f"{origin}: {quoted(path)} is not a valid mount path: use an absolute path without '..' and ':'")
    names = [segment for segment in segments if segment not in ("", ".")]
    if len(names) > MAX_SEGMENTS:
        raise Denied(f"{origin}: mount path {quoted(path)} has {len(names)} names: the maximum is {MAX_SEGMENTS}")
    normal = "/" + "/".join(names)
    if normal == "/":
        raise Denied(f"{origin}: the model cannot be mounted at /: use a directory, such as {MODEL_PATH}")
    return normal


def _source(uri: str, path: str, origin: str, annotations: Mapping[str, str], settings: Settings) -> Source:
    if image := oci.read(uri, origin, settings.storage_initializer):
        return Source(image.uri, path, origin, image=image, has_mode=uri.startswith("oci+"))
    if not storage_uri.is_claim(uri):
        return Source(uri, path, origin)
    claim = storage_uri.parse_claim(uri, origin)
    return Source(uri, path, origin, claim, _is_file(claim, annotations, settings))


def _is_file(claim: ClaimPath, annotations: Mapping[str, str], settings: Settings) -> bool:
    path_type = _read_path_type(annotations)
    if path_type == "file" and not claim.path:
        raise Denied(f"annotation {keys.PATH_TYPE} is file, but the URI has no path: add the path of the file")
    if claim.is_directory or path_type == "directory":
        return False
    is_file = path_type == "file" or claim.file_name.lower().endswith(settings.storage_defaults.single_file)
    if is_file and ":" in claim.file_name:
        raise Denied(
            f"the file {quoted(claim.file_name)} cannot be mounted because its name contains ':': rename it, or, if "
            f"it is a directory, set annotation {keys.PATH_TYPE} to directory"
        )
    return is_file


def _read_path_type(annotations: Mapping[str, str]) -> str:
    path_type = annotations.get(keys.PATH_TYPE, "auto")
    if path_type not in ("auto", "directory", "file"):
        raise Denied(f"annotation {keys.PATH_TYPE} {quoted(path_type)} is invalid: use auto, directory or file")
    return path_type


def _local_model(
    uri: str, origin: str, annotations: Mapping[str, str], labels: Mapping[str, str], settings: Settings
) -> tuple[str, str]:
    """The URI of the model in the node's cache and the annotation that names its claim (KServe: LocalModelCache).

    `uri` and `origin` unchanged when the model is not cached. A cached URI includes all paths below it.
    """
    name = labels.get(keys.LOCAL_MODEL)
    if name is None or keys.INFERENCE_SERVICE not in labels:
        return uri, origin
    cached, claim = annotations.get(keys.LOCAL_MODEL_SOURCE_URI), annotations.get(keys.LOCAL_MODEL_PVC_NAME)
    if not cached or not claim:
        missing = keys.LOCAL_MODEL_PVC_NAME if cached else keys.LOCAL_MODEL_SOURCE_URI
        raise Denied(
            f"label {keys.LOCAL_MODEL} says that the model is cached on the node, but annotation {missing} is missing"
        )
    root = cached.rstrip("/")
    sub_path = uri.removeprefix(root)
    if not f"{uri}/".startswith(f"{root}/"):
        raise Denied(
            f"{origin} {quoted(uri)} is not below {quoted(cached)}, which is cached on the node "
            f"(annotation {keys.LOCAL_MODEL_SOURCE_URI})"
        )
    by_name = settings.storage_defaults.local_model_key == "name"
    key = name if by_name else hashlib.sha256(cached.encode()).hexdigest()[:16]
    return f"pvc://{claim}/models/{key}/{sub_path.lstrip('/')}", f"annotation {keys.LOCAL_MODEL_PVC_NAME}"
