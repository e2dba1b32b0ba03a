"""Simulation of KServe's own webhook (KServe 0.15 to 0.21): names, volumes and mounts.

It supports one URI and none of the annotations `storage.kserve.io/*`, except `readonly`. It looks for the init
container, volumes and mounts by name only, and adds those that are missing.
"""

from __future__ import annotations

import copy
from typing import Any

from webhook import annotations as keys

JsonObject = dict[str, Any]


def kserve_injected(pod: JsonObject, *, copies_claims: bool = False) -> JsonObject:
    """The pod after KServe's webhook; `copies_claims`: 0.15 with `enableDirectPvcVolumeMount: false`.

    The suffix of an image's scheme selects the mode of delivery.
    """
    pod = copy.deepcopy(pod)
    spec, annotations = pod["spec"], pod["metadata"]["annotations"]
    inits = spec.setdefault("initContainers", [])
    uri = annotations.get(str(keys.SOURCE_URI))
    servers = {item["name"]: item for item in spec["containers"]}
    main = servers.get("kserve-container") or servers["worker-container"]
    targets = [main, *([servers["transformer-container"]] if "transformer-container" in servers else [])]
    if uri is not None and uri.startswith("oci+"):
        mode, _, image = uri.removeprefix("oci+").partition("://")
        {"modelcar": _run, "native": _mount_image, "fetch": _fetch}[mode](spec, targets, image)
        return pod
    if uri is None or any(item["name"] == "storage-initializer" for item in inits):
        return pod
    read_only = annotations.get(str(keys.READ_ONLY)) != "false"
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    source = {"persistentVolumeClaim": {"claimName": claim}}
    if uri.startswith("pvc://") and not copies_claims:
        _mount(spec, targets, "kserve-pvc-source", "/mnt/models", read_only, source, path)
    else:
        location = f"/mnt/pvc/{path}" if uri.startswith("pvc://") else uri
        inits.append({"name": "storage-initializer", "image": "kserve/storage-initializer:latest"})
        inits[-1]["args"] = [location, "/mnt/models"]
        _mount(spec, targets, "kserve-provision-location", "/mnt/models", read_only)
        _mount(spec, [inits[-1]], "kserve-provision-location", "/mnt/models", read_only=False)
        if uri.startswith("pvc://"):
            _mount(spec, [*targets, inits[-1]], "kserve-pvc-source", "/mnt/pvc", read_only, source)
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
    source: JsonObject | None = None,
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
            volumes.append({"name": name, **(source or {"emptyDir": {}})})


def _run(spec: JsonObject, targets: list[JsonObject], image: str) -> None:
    for target in targets:
        variables = target.setdefault("env", [])
        found = next((variable for variable in variables if variable["name"] == "MODEL_INIT_MODE"), None)
        if found is None:
            variables.append(found := {"name": "MODEL_INIT_MODE"})
        found["value"] = "async"
    _mount(spec, targets, "kserve-provision-location", "/mnt", read_only=False)
    if all(item["name"] != "modelcar" for item in spec["containers"]):
        link = "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"
        spec["containers"].append({"name": "modelcar", "image": image, "args": ["sh", "-c", link]})
        _mount(spec, spec["containers"][-1:], "kserve-provision-location", "/mnt", read_only=False)
        spec["initContainers"].append({"name": "modelcar-init", "image": image, "args": ["sh", "-c", "[ -d /models ]"]})
    spec["shareProcessNamespace"] = True


def _mount_image(spec: JsonObject, targets: list[JsonObject], image: str) -> None:
    source = {"image": {"reference": image, "pullPolicy": "IfNotPresent"}}
    _mount(spec, targets, "mnt-models", "/mnt/models", read_only=True, source=source, sub_path="models")


def _fetch(spec: JsonObject, targets: list[JsonObject], image: str) -> None:
    """Mount the model read-write, whatever the pod requests, and the pull secret readable by root only."""
    inits, arguments = spec["initContainers"], [f"oci://{image}", "/mnt/models"]
    initializer = next((item for item in inits if item["name"] == "storage-initializer"), None)
    if initializer is None:
        initializer = {"name": "storage-initializer", "image": "kserve/storage-initializer:latest", "args": arguments}
        inits.append(initializer)
        for secret in spec.get("imagePullSecrets", ())[:1]:
            items = [{"key": ".dockerconfigjson", "path": "config.json"}]
            login = {"secret": {"secretName": secret["name"], "defaultMode": 0o400, "items": items}}
            name, path = "kserve-oci-fetch-docker-config", "/mnt/oci-fetch-auth"
            _mount(spec, [initializer], name, path, read_only=True, source=login)
            initializer["env"] = [{"name": "KSERVE_OCI_DOCKER_CONFIG", "value": f"{path}/config.json"}]
    elif arguments not in [initializer["args"][i : i + 2] for i in range(0, len(initializer["args"]), 2)]:
        initializer["args"] += arguments
    _mount(spec, [initializer, *targets], "mnt-models", "/mnt/models", read_only=False)
