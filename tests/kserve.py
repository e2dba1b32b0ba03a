"""What KServe's own webhook does to a pod, as far as names, volumes and mounts go (KServe 0.15 to 0.21).

It knows one URI and none of our annotations. It looks for an init container and for volumes and mounts by name
alone, and adds what it does not find.
"""

from __future__ import annotations

import copy
from typing import Any

from webhook import annotations as keys

JsonObject = dict[str, Any]


def kserve_injected(pod: JsonObject, *, copies_claims: bool = False) -> JsonObject:
    """The pod after KServe's webhook; `copies_claims`: 0.15 with `enableDirectPvcVolumeMount: false`."""
    pod = copy.deepcopy(pod)
    spec, annotations = pod["spec"], pod["metadata"]["annotations"]
    inits = spec.setdefault("initContainers", [])
    uri = annotations.get(str(keys.SOURCE_URI))
    if uri is None or any(item["name"] == "storage-initializer" for item in inits):
        return pod
    read_only = annotations.get(str(keys.READ_ONLY)) != "false"
    servers = {item["name"]: item for item in spec["containers"]}
    main = servers.get("kserve-container") or servers["worker-container"]
    targets = [main, *([servers["transformer-container"]] if "transformer-container" in servers else [])]
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    if uri.startswith("pvc://") and not copies_claims:
        _mount(spec, targets, "kserve-pvc-source", "/mnt/models", read_only, {"claimName": claim}, path)
    else:
        location = f"/mnt/pvc/{path}" if uri.startswith("pvc://") else uri
        inits.append({"name": "storage-initializer", "image": "kserve/storage-initializer:latest"})
        inits[-1]["args"] = [location, "/mnt/models"]
        _mount(spec, targets, "kserve-provision-location", "/mnt/models", read_only)
        _mount(spec, [inits[-1]], "kserve-provision-location", "/mnt/models", read_only=False)
        if uri.startswith("pvc://"):
            _mount(spec, [*targets, inits[-1]], "kserve-pvc-source", "/mnt/pvc", read_only, {"claimName": claim})
    for variable in main.get("env", ()):
        if variable["name"] == "STORAGE_URI" and variable.get("value"):
            variable["value"] = "/mnt/models"
    return pod


def _mount(
    spec: JsonObject,
    containers: list[JsonObject],
    name: str,
    path: str,
    read_only: bool,
    claim: JsonObject | None = None,
    sub_path: str = "",
) -> None:
    for container in containers:
        mounts = container.setdefault("volumeMounts", [])
        if any(mount["name"] == name for mount in mounts):
            continue
        flags = {"readOnly": True} if read_only else {}
        mounts.append({"name": name, "mountPath": path, **({"subPath": sub_path} if sub_path else {}), **flags})
        volumes = spec.setdefault("volumes", [])
        if all(volume["name"] != name for volume in volumes):
            volumes.append({"name": name, **({"persistentVolumeClaim": claim} if claim else {"emptyDir": {}})})
