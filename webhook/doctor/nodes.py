"""The nodes: which ways of delivering a model in an image work there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from webhook.doctor.report import Check, Result
from webhook.doctor.versions import Version, parse, parse_runtime, shown

AREA = "Nodes"
IMAGES = "Models in images"

# KEP-4639: a subPath of an image volume. The feature gate ImageVolume is on by default from 1.35.
_IMAGE_VOLUMES: Version = (1, 33)
_IMAGE_VOLUMES_BY_DEFAULT: Version = (1, 35)
# Earlier versions have no image volumes, or ignore the subPath: the model is then in /mnt/models/models.
_RUNTIMES_WITH_SUB_PATH: Mapping[str, Version] = {"containerd": (2, 2), "cri-o": (1, 33)}
# KEP-753: native sidecars are on by default from 1.29.
_NATIVE_SIDECARS: Version = (1, 29)


class Group(NamedTuple):
    """Nodes with the same software."""

    system: str
    kubelet: str
    runtime: str


def groups_of(nodes: Iterable[Mapping[str, Any]]) -> Counter[Group]:
    """The number of nodes of each group, from Node objects."""
    return Counter(_group(((node.get("status") or {}).get("nodeInfo")) or {}) for node in nodes)


def _group(info: Mapping[str, Any]) -> Group:
    fields = ("operatingSystem", "kubeletVersion", "containerRuntimeVersion")
    return Group(*(str(info.get(field) or "unknown") for field in fields))


def check_nodes(groups: Counter[Group], server: Version | None, *, native_is_default: bool) -> Iterator[Check]:
    """What the nodes run, and which images they can deliver. `native_is_default`: the settings use image volumes."""
    if not groups:
        yield Check(AREA, "nodes", Result.WARNING, "the cluster has no nodes: pods stay pending")
        return
    for group, count in sorted(groups.items()):
        detail = f"{count} {'node' if count == 1 else 'nodes'}"
        if group.system == "windows":
            yield Check(AREA, _subject(group), Result.WARNING, f"{detail}: the storage initializer runs on Linux only")
        else:
            yield Check(AREA, _subject(group), Result.WORKS, detail)
    linux = Counter({group: count for group, count in groups.items() if group.system != "windows"})
    yield _native(linux, server, required=native_is_default)
    yield _modelcars(linux)
    yield _modelcars_in_jobs(linux, server)


def _subject(group: Group) -> str:
    return f"{group.system}, kubelet {group.kubelet}, {group.runtime.replace('://', ' ')}"


def _native(linux: Counter[Group], server: Version | None, *, required: bool) -> Check:
    failing = Counter({group: count for group, count in linux.items() if _no_image_volumes(group)})
    reasons = "; ".join(sorted({_no_image_volumes(group) for group in failing}))
    missing = Result.BROKEN if required else Result.UNAVAILABLE
    remedy = "set ociModelMode to modelcar or fetch" if required else "use oci+modelcar:// or oci+fetch://"
    if server is not None and server < _IMAGE_VOLUMES:
        detail = f"the API server {shown(server)} has no image volumes with a directory (from 1.33): {remedy}"
    elif not linux or failing.total() == linux.total():
        detail = f"{reasons or 'no Linux node'}: {remedy}"
    elif failing:
        detail = f"not on {failing.total()} of {linux.total()} nodes: {reasons}: select the others with a nodeSelector"
        return Check(IMAGES, "oci+native://", Result.WARNING, detail)
    elif any((version or (0, 0)) < _IMAGE_VOLUMES_BY_DEFAULT for version in (server, *map(_kubelet, linux))):
        detail = "only if the feature gate ImageVolume is on in the API server and the kubelets: default from 1.35"
        return Check(IMAGES, "oci+native://", Result.UNKNOWN, detail)
    else:
        return Check(IMAGES, "oci+native://", Result.WORKS, "all nodes mount a directory of an image")
    return Check(IMAGES, "oci+native://", missing, detail)


def _no_image_volumes(group: Group) -> str:
    """Why the nodes of a group cannot mount a directory of an image; "" if they can."""
    kubelet = _kubelet(group)
    if kubelet is None or kubelet < _IMAGE_VOLUMES:
        return f"kubelet {group.kubelet} cannot mount a directory of an image (from 1.33)"
    name, version = parse_runtime(group.runtime)
    needed = _RUNTIMES_WITH_SUB_PATH.get(name)
    if needed is None:
        return f"runtime {name} is not known to mount images"
    if version is None or version < needed:
        return f"{group.runtime.replace('://', ' ')} cannot mount a directory of an image (from {shown(needed)})"
    return ""


def _kubelet(group: Group) -> Version | None:
    return parse(group.kubelet)


def _modelcars(linux: Counter[Group]) -> Check:
    if not linux:
        return Check(IMAGES, "oci+modelcar://", Result.UNAVAILABLE, "no Linux node")
    return Check(IMAGES, "oci+modelcar://", Result.WORKS, "on every Linux node, if the image has sh, ln and sleep")


def _modelcars_in_jobs(linux: Counter[Group], server: Version | None) -> Check:
    versions = [server, *map(_kubelet, linux)]
    if not linux or any(version is None or version < _NATIVE_SIDECARS for version in versions):
        detail = "native sidecars need Kubernetes 1.29 in the API server and on every node: use oci+fetch://"
        return Check(IMAGES, "oci+modelcar:// in Jobs", Result.UNAVAILABLE, detail)
    return Check(IMAGES, "oci+modelcar:// in Jobs", Result.WORKS, "as native sidecars")
