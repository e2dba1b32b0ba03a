"""A pod as a raw dict: find by name, and edit without touching what was given.

The pod stays a raw dict because typed clients drop the fields they do not know, and a patch made from them
would remove those fields from the pod.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from webhook.annotations import MOUNT_PATH, URIS
from webhook.draft import Draft
from webhook.draft import JsonObject as JsonObject
from webhook.errors import Denied, shown

INIT_CONTAINER_NAME = "storage-initializer"
MODEL_PATH = "/mnt/models"


def metadata_map(pod: Mapping[str, Any], field: str) -> Mapping[str, str]:
    """The pod's `annotations` or `labels`; empty when there are none.

    Raises Denied when it is not an object of strings (Kubernetes: ObjectMeta).
    """
    metadata = pod.get("metadata") or {}
    found = metadata.get(field) or {} if isinstance(metadata, dict) else None
    if not isinstance(found, dict):
        raise Denied(f"metadata.{field} of the pod must be an object of strings")
    for key, value in found.items():
        if not isinstance(value, str):
            given = reprlib.repr(value)
            raise Denied(f"metadata.{field} of the pod: the value of {shown(key)} must be a string, not {given}")
    return found


_STRING_OR_NULL = (str, type(None))
_OBJECTS_OF_SPEC = ("securityContext", "os", "resources")
_LISTS_OF_SPEC = ("containers", "initContainers", "volumes")
_OBJECTS_OF_CONTAINER = ("securityContext", "resources")
_LISTS_OF_CONTAINER = ("env", "volumeMounts", "volumeDevices")

# Far above what any kubelet runs; steps may look through these lists once for each model and container.
_MAX_ITEMS = 250
_MAX_VARIABLES = 10_000


def check_shape(pod: Mapping[str, Any]) -> None:
    """Raises Denied, naming the field, when a part of the pod that steps read is of the wrong JSON type."""
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        raise Denied("spec of the pod must be an object")
    if not isinstance(spec.get("serviceAccountName", ""), _STRING_OR_NULL):
        raise Denied("spec.serviceAccountName of the pod must be a string")
    for field in _OBJECTS_OF_SPEC:
        _check_object(spec, field, "spec")
    for field in _LISTS_OF_SPEC:
        _check_named_list(spec, field, "spec")
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            _check_container(container, f"spec.{field}[{index}]")


def _check_container(container: Mapping[str, Any], where: str) -> None:
    for field in _OBJECTS_OF_CONTAINER:
        _check_object(container, field, where)
    for field in _LISTS_OF_CONTAINER:
        _check_named_list(container, field, where)


def _check_object(parent: Mapping[str, Any], field: str, where: str) -> None:
    found = parent.get(field)
    if found is not None and not isinstance(found, dict):
        raise Denied(f"{where}.{field} of the pod must be an object")


def _check_named_list(parent: Mapping[str, Any], field: str, where: str) -> None:
    items = parent.get(field)
    if items is None:
        return
    if not isinstance(items, list):
        raise Denied(f"{where}.{field} of the pod must be a list")
    limit = _MAX_VARIABLES if field == "env" else _MAX_ITEMS
    if len(items) > limit:
        raise Denied(f"{where}.{field} of the pod has {len(items)} items, and a pod with a model may have {limit}")
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise Denied(f"{where}.{field}[{index}] of the pod must be an object with a name")


def find(items: Iterable[JsonObject] | None, name: str) -> JsonObject | None:
    """The first item with this name, or None."""
    for item in items or ():
        if item.get("name") == name:
            return item
    return None


def container_names(pod: Mapping[str, Any]) -> list[str]:
    return [container["name"] for container in pod["spec"].get("containers") or ()]


def volume_source(volume: Mapping[str, Any]) -> tuple[str, str | None]:
    """What a volume is, past the API server's defaults: its kind and the name of what it refers to."""
    for kind, name_field in _REFERENCES.items():
        if isinstance(source := volume.get(kind), dict):
            return kind, source.get(name_field)
    return next((kind for kind in volume if kind != "name"), "emptyDir"), None


_REFERENCES = {
    "persistentVolumeClaim": "claimName",
    "secret": "secretName",
    "configMap": "name",
    "image": "reference",
}


class PodDraft(Draft):
    """A pod being edited.

    Methods that take a container expect one that came from `edit_container` or `add_container`.
    """

    def __init__(self, original: JsonObject) -> None:
        super().__init__(original)
        self._edited: dict[tuple[str, str], JsonObject] = {}
        self.added: list[tuple[str, str]] = []
        """Containers that were added: the list of the spec they stand in, and their name."""
        self.warnings: list[str] = []
        """What the pod's author should know, though the pod is admitted."""

    @property
    def pod(self) -> JsonObject:
        """The pod as edited so far, to read."""
        return self.root

    @property
    def spec(self) -> JsonObject:
        """The spec, to read."""
        spec: JsonObject = self.root["spec"]
        return spec

    def edit_spec(self) -> JsonObject:
        """The spec, to write."""
        return self.edit_object(self.root, "spec")

    def init_container(self) -> JsonObject | None:
        """The storage initializer, to read; None when the pod has none."""
        return find(self.spec.get("initContainers"), INIT_CONTAINER_NAME)

    def edit_init_container(self) -> JsonObject | None:
        """The storage initializer, to write; None when the pod has none."""
        if (edited := self._edited.get(("initContainers", INIT_CONTAINER_NAME))) is not None:
            return edited
        there = self.init_container() is not None
        return self.edit_container(INIT_CONTAINER_NAME, "initContainers") if there else None

    def edit_container(self, name: str, field: str = "containers") -> JsonObject:
        """The container of this name, to write. Raises KeyError when the pod has none."""
        if (field, name) in self._edited:
            return self._edited[field, name]
        for index, container in enumerate(self.spec.get(field) or ()):
            if container["name"] == name:
                found = self.edit_object(self.edit_list(self.edit_spec(), field), index)
                self._edited[field, name] = found
                return found
        raise KeyError(name)

    def add_container(self, container: JsonObject, field: str = "initContainers") -> None:
        """Append a container. Raises Denied when its name is taken: names are unique in a pod, init or not."""
        for taken in ("containers", "initContainers"):
            if find(self.spec.get(taken), container["name"]):
                raise Denied(
                    f"the pod already has a container {shown(container['name'])} in spec.{taken}, "
                    "a name that the model's storage needs: rename it"
                )
        self.edit_list(self.edit_spec(), field).append(container)
        self._edited[field, container["name"]] = self.own(container)
        self.added.append((field, container["name"]))

    def ensure_volume(self, volume: JsonObject) -> None:
        """Append a volume, unless the same is there already: same name, same kind, same claim, Secret or image.

        Raises Denied when the name is taken by a volume that means something else.
        """
        existing = find(self.spec.get("volumes"), volume["name"])
        if existing is None:
            self.edit_list(self.edit_spec(), "volumes").append(volume)
        elif volume_source(existing) != volume_source(volume):
            raise Denied(
                f"the pod already has a volume {shown(volume['name'])}, {_described(existing)}, "
                f"where the model needs {_described(volume)}: rename the pod's volume"
            )

    def ensure_mount(self, container: JsonObject, mount: JsonObject, *moved_from: str) -> None:
        """Mount a volume, or bring the mount that is there already (same volume and subPath) to what is asked.

        `moved_from` are paths where the same mount may stand by mistake and is moved from.
        Raises Denied when the mount path is taken by something else.
        """
        places = {_normal(path) for path in (mount["mountPath"], *moved_from)}
        mounts = self.edit_list(container, "volumeMounts")
        ours = next((i for i, there in enumerate(mounts) if _same_mount(there, mount) and _path(there) in places), None)
        _check_path_is_free(container, mount, ours)
        if ours is None:
            mounts.append(mount)
        else:
            self._bring_to(mounts, ours, mount)

    def _bring_to(self, mounts: list[Any], index: int, mount: JsonObject) -> None:
        wanted = {key: mount.get(key) for key in ("mountPath", "subPath")}
        existing, read_only = mounts[index], mount.get("readOnly", False)
        if {key: existing.get(key) for key in wanted} == wanted and bool(existing.get("readOnly")) == read_only:
            return
        # Kubernetes takes recursiveReadOnly only beside readOnly.
        for field in ("subPath", "readOnly", *([] if read_only else ["recursiveReadOnly"])):
            self.edit_object(mounts, index).pop(field, None)
        self.edit_object(mounts, index).update(mount)

    def drop_mount(self, container: JsonObject, mount: JsonObject) -> None:
        """Remove a mount: that of the same volume and subPath, at the same path."""
        mounts = container.get("volumeMounts") or ()
        kept = [there for there in mounts if not (_same_mount(there, mount) and _path(there) == _path(mount))]
        if len(kept) < len(mounts):
            container["volumeMounts"] = kept

    def set_env(self, container: JsonObject, *variables: JsonObject) -> None:
        """Set environment variables, each in the place of the first of that name or at the end."""
        if not variables:
            return
        present = self.edit_list(container, "env")
        places = {variable["name"]: place for place, variable in reversed(list(enumerate(present)))}
        for variable in variables:
            place = places.setdefault(variable["name"], len(present))
            present[place : place + 1] = (variable,)

    def add_env(self, container: JsonObject, variables: Iterable[JsonObject]) -> None:
        """Append the environment variables whose names are not set yet."""
        present = {variable["name"] for variable in container.get("env") or ()}
        missing = [variable for variable in variables if variable["name"] not in present]
        if missing:
            self.edit_list(container, "env").extend(missing)


def mount(volume: str, path: str, *, read_only: bool, sub_path: str = "") -> JsonObject:
    """A VolumeMount with nothing in it that need not be there."""
    made: JsonObject = {"name": volume, "mountPath": path}
    if sub_path:
        made["subPath"] = sub_path
    if read_only:
        made["readOnly"] = True
    return made


def secret_variable(name: str, secret: str, key: str) -> JsonObject:
    """An EnvVar whose value the kubelet takes from a Secret's key."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _same_mount(one: JsonObject, other: JsonObject) -> bool:
    if one["name"] != other["name"]:
        return False
    return all(_identity(one, key) == _identity(other, key) for key in ("subPath", "subPathExpr"))


def _identity(mount: JsonObject, key: str) -> Any:
    value = mount.get(key) or ""
    return _segments(value) if isinstance(value, str) else value


def _check_path_is_free(container: JsonObject, wanted: JsonObject, ours: int | None) -> None:
    """Raises Denied when anything but the mount at index `ours` stands at the wanted mount's path."""
    mounts = [(there, "mountPath") for index, there in enumerate(container["volumeMounts"]) if index != ours]
    devices = [(there, "devicePath") for there in container.get("volumeDevices") or ()]
    path = _path(wanted)
    name = path.rpartition("/")[2]
    for there, field in mounts + devices:
        # Of many mounts, most are told apart by the last name alone.
        if name in str(there.get(field)) and _normal(there[field]) == path:
            raise Denied(
                f"container {shown(container['name'])} already mounts volume {shown(there['name'])} at "
                f"{shown(there[field])}, where the model goes: move that mount, or choose another place for the model "
                f"with annotation {MOUNT_PATH} or {URIS}"
            )


def _path(mount: JsonObject) -> str:
    return _normal(mount.get("mountPath"))


def _normal(path: Any) -> str:
    """A path as the kubelet takes it: from the root, without empty segments."""
    return "/" + "/".join(_segments(path)) if isinstance(path, str) else ""


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".")]


def _described(volume: JsonObject) -> str:
    kind, reference = volume_source(volume)
    return f"{kind} {shown(reference)}" if reference else f"of kind {shown(kind)}"
