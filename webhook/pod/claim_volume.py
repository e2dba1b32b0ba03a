"""The volume of a claim: one claim is one volume of a pod.

Kubelets before Kubernetes 1.35 may never start a pod that has a claim in two volumes, depending on the volume plugin
(kubernetes/kubernetes#127004 and #132921).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft, normal_path

_TWO_VOLUMES = "nodes before Kubernetes 1.35 may never start a pod with one claim in two volumes"


class ClaimUse(NamedTuple):
    """What a claim is mounted for."""

    claim: str
    writes: bool
    """At least one mount is read-write."""
    containers: tuple[str, ...]
    """The containers that mount it."""
    path: str
    """The mount path in these containers. A single file may be mounted inside it."""
    file_name: str = ""


def serving_volume(pod: PodDraft, use: ClaimUse) -> str | None:
    """The name of the pod's volume that serves this use; None when the pod has none.

    Of several, the one that is already mounted at the path, as on a second call; otherwise the first.
    """
    found = {volume["name"]: volume for volume in _volumes_of(pod.spec, use.claim)}
    mounted = _mounted_volume(pod, use, found.keys()) if found else None
    if mounted is not None:
        # Also one that cannot serve: a policy may have made it read-only between two calls.
        pod.warnings.extend(filter(None, [_problem(found[mounted], use, mounted)]))
        return mounted
    return next((name for name, volume in found.items() if _serves(volume, use)), None)


def ensure_claim_volume(pod: PodDraft, use: ClaimUse, name: str) -> str:
    """Add the claim's volume under this name, unless the pod has it, and warn about others. Returns the name.

    Raises Denied when the pod has a different volume of this name.
    """
    pod.ensure_volume(new_volume(use.claim, name))
    problems = (_problem(volume, use, name) for volume in _volumes_of(pod.spec, use.claim))
    pod.warnings.extend(islice(filter(None, problems), 1))
    return name


def new_volume(claim: str, name: str) -> JsonObject:
    """A volume with a claim."""
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def _volumes_of(spec: JsonObject, claim: str) -> Iterable[JsonObject]:
    for volume in spec.get("volumes") or ():
        source = volume.get("persistentVolumeClaim")
        if isinstance(source, dict) and source.get("claimName") == claim:
            yield volume


def _serves(volume: Mapping[str, JsonObject], use: ClaimUse) -> bool:
    return not (use.writes and volume["persistentVolumeClaim"].get("readOnly"))


def _mounted_volume(pod: PodDraft, use: ClaimUse, names: Collection[str]) -> str | None:
    paths = dict.fromkeys((normal_path(use.path), normal_path(f"{use.path}/{use.file_name}")))
    for name in use.containers:
        mounts = pod.mounts_of(pod.edit_target(name))
        for mount in (mount for path in paths for mount in mounts.at(path)):
            if mount["name"] in names:
                return str(mount["name"])
    return None


def _problem(volume: JsonObject, use: ClaimUse, name: str) -> str:
    """What to change about a volume of the claim; "" for nothing. `name` is the volume that the model uses.

    The way out comes first, because Kubernetes cuts long warnings.
    """
    is_other, serves = volume["name"] != name, _serves(volume, use)
    if serves and not is_other:
        return ""
    shown, claim = quoted(volume["name"]), quoted(use.claim)
    if serves:
        return f"rename volume {shown} to {quoted(name)}: {_TWO_VOLUMES}, here claim {claim}"
    reason = f": {_TWO_VOLUMES}" if is_other else ""
    return f"remove readOnly from volume {shown}, because claim {claim} must be writable{reason}"
