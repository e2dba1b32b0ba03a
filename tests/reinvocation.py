"""What other webhooks lawfully do to a pod between two calls of this webhook."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.mutation import JsonObject

Change = Callable[[JsonObject], None]
"""Changes a pod in place."""

_DIGEST = "@sha256:" + "a" * 64


def _containers(pod: JsonObject) -> Iterator[JsonObject]:
    yield from pod["spec"].get("containers") or ()
    yield from pod["spec"].get("initContainers") or ()


def _list(parent: JsonObject, field: str) -> list[Any]:
    if not parent.get(field):
        parent[field] = []
    items: list[Any] = parent[field]
    return items


def _object(parent: JsonObject, field: str) -> JsonObject:
    if not parent.get(field):
        parent[field] = {}
    found: JsonObject = parent[field]
    return found


def _has(pod: JsonObject, name: str) -> bool:
    return any(container["name"] == name for container in _containers(pod))


def _add(pod: JsonObject, field: str, container: JsonObject, *, first: bool) -> None:
    if not _has(pod, container["name"]):
        containers = _list(pod["spec"], field)
        containers.insert(0 if first else len(containers), container)


def proxy_first(pod: JsonObject) -> None:
    _add(pod, "containers", {"name": "linkerd-proxy", "image": "proxy:1", "ports": [{"containerPort": 1}]}, first=True)


def proxy_last(pod: JsonObject) -> None:
    _add(pod, "containers", {"name": "mesh", "image": "proxy:1", "ports": [{"containerPort": 4143}]}, first=False)


def unknown_sidecar_first(pod: JsonObject) -> None:
    _add(pod, "containers", {"name": "telemetry", "image": "agent:1"}, first=True)


def init_container_first(pod: JsonObject) -> None:
    _add(pod, "initContainers", {"name": "mesh-init", "image": "init:1"}, first=True)


def native_sidecar_first(pod: JsonObject) -> None:
    sidecar = {"name": "mesh-sidecar", "image": "proxy:1", "restartPolicy": "Always"}
    _add(pod, "initContainers", sidecar, first=True)


def native_sidecar_last(pod: JsonObject) -> None:
    sidecar = {"name": "late-sidecar", "image": "proxy:1", "restartPolicy": "Always"}
    _add(pod, "initContainers", sidecar, first=False)


def token_volume(pod: JsonObject) -> None:
    volume = {"name": "aws-iam-token", "projected": {"defaultMode": 420, "sources": []}}
    if all(each["name"] != volume["name"] for each in _list(pod["spec"], "volumes")):
        pod["spec"]["volumes"].insert(0, volume)
        for container in _containers(pod):
            _list(container, "volumeMounts").append(
                {"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks", "readOnly": True}
            )


def api_defaults(pod: JsonObject) -> None:
    for container in _containers(pod):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("resources", {})
    for volume in pod["spec"].get("volumes") or ():
        for kind in ("secret", "configMap"):
            if isinstance(volume.get(kind), dict):
                volume[kind].setdefault("defaultMode", 420)
    _object(pod["spec"], "securityContext")
    pod["spec"].setdefault("dnsPolicy", "ClusterFirst")
    pod["spec"].setdefault("enableServiceLinks", True)


def image_digests(pod: JsonObject) -> None:
    for holder, field in _images(pod):
        if "@" not in holder[field]:
            holder[field] += _DIGEST


def registry_mirror(pod: JsonObject) -> None:
    for holder, field in _images(pod):
        if not holder[field].startswith("mirror.example.com/"):
            holder[field] = f"mirror.example.com/{holder[field]}"


def _images(pod: JsonObject) -> Iterator[tuple[JsonObject, str]]:
    for container in _containers(pod):
        if isinstance(container.get("image"), str):
            yield container, "image"
    for volume in pod["spec"].get("volumes") or ():
        if isinstance(volume.get("image"), dict):
            yield volume["image"], "reference"


def user_id_of_servers(pod: JsonObject) -> None:
    for container in pod["spec"].get("containers") or ():
        if not container["name"].startswith("modelcar"):
            _object(container, "securityContext")["runAsUser"] = 4711


def user_id_of_all(pod: JsonObject) -> None:
    for container in _containers(pod):
        _object(container, "securityContext")["runAsUser"] = 4712


def resources(pod: JsonObject) -> None:
    for container in _containers(pod):
        amounts = _object(container, "resources")
        for kind in ("requests", "limits"):
            _object(amounts, kind).setdefault("example.com/widgets", "1")


def tolerations(pod: JsonObject) -> None:
    _list(pod["spec"], "tolerations").append({"key": "gpu", "operator": "Exists"})


def recursive_read_only(pod: JsonObject) -> None:
    for container in _containers(pod):
        for mount in container.get("volumeMounts") or ():
            if mount.get("readOnly"):
                mount.setdefault("recursiveReadOnly", "Disabled")


def environment(pod: JsonObject) -> None:
    for container in _containers(pod):
        _list(container, "env").append({"name": "INJECTED_BY_OTHERS", "value": "yes"})


def labels(pod: JsonObject) -> None:
    _object(_object(pod, "metadata"), "labels")["mesh.example.com/injected"] = "yes"


def default_container(pod: JsonObject) -> None:
    annotations = _object(_object(pod, "metadata"), "annotations")
    annotations["kubectl.kubernetes.io/default-container"] = pod["spec"]["containers"][-1]["name"]


CHANGES: tuple[Change, ...] = (
    proxy_first,
    proxy_last,
    unknown_sidecar_first,
    init_container_first,
    native_sidecar_first,
    native_sidecar_last,
    token_volume,
    api_defaults,
    image_digests,
    registry_mirror,
    user_id_of_servers,
    user_id_of_all,
    resources,
    tolerations,
    recursive_read_only,
    environment,
    labels,
    default_container,
)


def changed(pod: JsonObject, changes: list[Change]) -> JsonObject:
    """A copy of the pod after these changes, in this order."""
    pod = copy.deepcopy(pod)
    for change in changes:
        change(pod)
    return json.loads(json.dumps(pod))  # type: ignore[no-any-return]


def without_what_may_follow(pod: JsonObject) -> JsonObject:
    """The pod without what a second call has to adapt to others.

    That is: the order of init containers, since the initializer moves behind native sidecars; the user id of
    modelcars, which must be that of the target; and that of the initializer where Istio or an annotation decides it.
    """
    pod = copy.deepcopy(pod)
    spec = pod["spec"]
    spec["initContainers"] = sorted(spec.get("initContainers") or (), key=lambda container: container["name"])
    annotations = pod["metadata"].get("annotations") or {}
    by_istio = not {"serving.kserve.io/storage-initializer-uid", "sidecar.istio.io/status"}.isdisjoint(annotations)
    for container in _containers(pod):
        is_initializer = container["name"] == "storage-initializer"
        if container["name"].startswith("modelcar") or (is_initializer and by_istio):
            (container.get("securityContext") or {}).pop("runAsUser", None)
    return pod
