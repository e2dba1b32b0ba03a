"""Pods as raw dicts: lookup by name, and copy-on-write edits.

The pod is a raw dict because typed clients drop fields that they do not know. A patch made from a typed pod would
remove these fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from webhook.annotations import MOUNT_PATH, URIS
from webhook.errors import Denied, abbreviated, quoted
from webhook.pod.draft import Draft
from webhook.pod.draft import JsonObject as JsonObject
from webhook.pod.mounts import Mounts, identity
from webhook.pod.paths import normal_path as normal_path

INIT_CONTAINER_NAME = "storage-initializer"
MODEL_PATH = "/mnt/models"
_INITIALIZER = "initContainers", INIT_CONTAINER_NAME


def metadata_map(pod: Mapping[str, Any], field: str) -> Mapping[str, str]:
    """The pod's `annotations` or `labels`; empty when there are none.

    Raises Denied when the field is not an object of strings (Kubernetes: ObjectMeta).
    """
    metadata = pod.get("metadata") or {}
    found = metadata.get(field) or {} if isinstance(metadata, dict) else None
    if not isinstance(found, dict):
        raise Denied(f"metadata.{field} of the pod must be an object of strings")
    for key, value in found.items():
        if type(value) is not str:
            raise Denied(
                f"metadata.{field} of the pod: the value of {quoted(key)} must be a string, not {abbreviated(value)}"
            )
    return found


def metadata_list(found: Mapping[str, Any], field: str) -> list[JsonObject]:
    """The objects in a list of the metadata, such as `ownerReferences`. Items of other types are ignored."""
    items = (found.get("metadata") or {}).get(field)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


_STRING_OR_NULL = (str, type(None))
_OBJECTS_OF_SPEC = ("securityContext", "os", "resources")
_LISTS_OF_SPEC = ("containers", "initContainers", "volumes")
_OBJECTS_OF_CONTAINER = ("securityContext", "resources")
_LISTS_OF_CONTAINER = ("env", "volumeMounts", "volumeDevices")

# Far more than any real pod has. Steps may iterate over these lists once for each model and container.
_MAX_ITEMS = 250
_MAX_VARIABLES = 10_000


def check_shape(pod: Mapping[str, Any]) -> None:
    """Raise Denied, naming the field, when a field that steps read has the wrong JSON type."""
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
        raise Denied(
            f"{where}.{field} of the pod has {len(items)} items: the maximum for a pod with a model is {limit}"
        )
    for index, item in enumerate(items):
        if type(item) is not dict or type(item.get("name")) is not str:
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
    """A volume's kind and the name of the object that it refers to, without the fields that the API server defaults."""
    for kind, name_field in _REFERENCES.items():
        if isinstance(source := volume.get(kind), dict):
            return kind, source.get(name_field)
    return next((kind for kind in volume if kind != "name"), "emptyDir"), None


_REFERENCES = {
    "persistentVolumeClaim": "claimName",
    "secret": "secretName",
    "configMap": "name",
    "image": "reference",
    "csi": "driver",
}


class PodDraft(Draft):
    """A pod being edited.

    Methods with a parameter `container` expect one from `edit_container` or `add_container`.
    """

    def __init__(self, original: JsonObject, *, already_injected: bool = False) -> None:
        """`already_injected`: the pod's init container `storage-initializer` is that of an earlier injection."""
        super().__init__(original)
        self._already_injected = already_injected
        self._edited: dict[tuple[str, str], JsonObject] = {}
        self._mounts: dict[int, Mounts] = {}
        self.adopted: list[tuple[str, str]] = []
        """Containers of an earlier injection, by this webhook or KServe's: as in `added`."""
        self.added: list[tuple[str, str]] = []
        """The containers that were added: the field of the spec, and the container's name."""
        self.warnings: list[str] = []
        """Warnings for the pod's author; the pod is admitted."""

    @property
    def pod(self) -> JsonObject:
        """The pod as edited so far; read-only."""
        return self.root

    @property
    def spec(self) -> JsonObject:
        """The spec; read-only."""
        spec: JsonObject = self.root["spec"]
        return spec

    def edit_spec(self) -> JsonObject:
        """The editable spec."""
        return self.edit_object(self.root, "spec")

    def init_container(self) -> JsonObject | None:
        """The storage initializer; read-only. None when the pod has none, or only one of its author's own."""
        edited = self._edited.get(_INITIALIZER)
        if edited is not None or not self._already_injected:
            return edited
        return find(self.spec.get("initContainers"), INIT_CONTAINER_NAME)

    def edit_init_container(self) -> JsonObject | None:
        """The editable storage initializer; None when the pod has none."""
        edited = self._edited.get(_INITIALIZER)
        if edited is None and self.init_container() is not None:
            edited = self.edit_container(INIT_CONTAINER_NAME, "initContainers")
        return edited

    def container(self, name: str) -> JsonObject:
        """The container or init container of this name; read-only. Empty when the pod has none."""
        edited = self._edited.get(("containers", name))
        return edited or find(self.spec.get("containers"), name) or find(self.spec.get("initContainers"), name) or {}

    def effective_id(self, container: JsonObject, field: str) -> Any:
        """The `runAsUser` or `runAsGroup` of a container: its own, else the pod's. None: the image decides."""
        contexts = (container.get("securityContext") or {}, self.spec.get("securityContext") or {})
        return next((context[field] for context in contexts if context.get(field) is not None), None)

    def edit_container(self, name: str, field: str = "containers") -> JsonObject:
        """The editable container of this name. Raises KeyError when the pod has none."""
        if (field, name) in self._edited:
            return self._edited[field, name]
        for index, container in enumerate(self.spec.get(field) or ()):
            if container["name"] == name:
                found = self.edit_object(self.edit_list(self.edit_spec(), field), index)
                self._edited[field, name] = found
                return found
        raise KeyError(name)

    def edit_target(self, name: str) -> JsonObject:
        """The editable container or init container of this name. Raises KeyError when the pod has none."""
        is_container = ("containers", name) in self._edited or find(self.spec.get("containers"), name) is not None
        return self.edit_container(name, "containers" if is_container else "initContainers")

    def add_container(self, container: JsonObject, field: str = "initContainers") -> None:
        """Append a container. Raises Denied when the pod has a container or init container of this name."""
        for existing in ("containers", "initContainers"):
            if find(self.spec.get(existing), container["name"]):
                raise Denied(
                    f"the pod already has a container {quoted(container['name'])} in spec.{existing}, "
                    "but the webhook must add a container of this name: rename it"
                )
        self.edit_list(self.edit_spec(), field).append(container)
        self._edited[field, container["name"]] = self.own(container)
        self.added.append((field, container["name"]))

    def ensure_volume(self, volume: JsonObject) -> None:
        """Append a volume, unless the pod has the same: same name, kind, and claim, Secret or image.

        Raises Denied when the pod has a different volume of this name.
        """
        existing = find(self.spec.get("volumes"), volume["name"])
        if existing is None:
            self.edit_list(self.edit_spec(), "volumes").append(volume)
        elif volume_source(existing) != volume_source(volume):
            raise Denied(
                f"the pod already has a volume {quoted(volume['name'])}, {_described(existing)}, "
                f"but the webhook must add a volume of this name, {_described(volume)}: rename it"
            )

    def ensure_mount(self, container: JsonObject, mount: JsonObject, *moved_from: str) -> None:
        """Add a volume mount, or update the existing mount of the same volume and subPath.

        A mount at one of the paths in `moved_from` is moved to the new mount path.
        Raises Denied when something else is mounted at the mount path.
        """
        self.edit_list(container, "volumeMounts")
        mounts = self.mounts_of(container)
        same = identity(mount)
        index = mounts.find(same, (mount["mountPath"], *moved_from))
        if in_the_way := mounts.in_the_way(same[0], index):
            raise _path_is_taken(container, *in_the_way)
        if index is None:
            mounts.append(mount, same)
        else:
            self._update_mount(mounts, index, mount)

    def mounts_of(self, container: JsonObject) -> Mounts:
        """The mounts of an editable container by path; computed once, until the list is another."""
        # The copy of the list now, so that an edit of it does not compute them again.
        items = container.get("volumeMounts")
        if items:
            items = self.edit_list(container, "volumeMounts")
        known = self._mounts.get(id(items))
        if known is None or known.items is not items:
            known = self._mounts[id(items)] = Mounts(container)
        return known

    def _update_mount(self, mounts: Mounts, index: int, mount: JsonObject) -> None:
        wanted = {key: mount.get(key) for key in ("mountPath", "subPath")}
        existing, read_only = mounts.items[index], mount.get("readOnly", False)
        if {key: existing.get(key) for key in wanted} == wanted and bool(existing.get("readOnly")) == read_only:
            return
        # Kubernetes allows recursiveReadOnly only if readOnly is set.
        dropped = ("subPath", "readOnly", *([] if read_only else ["recursiveReadOnly"]))
        kept = {field: value for field, value in existing.items() if field not in dropped}
        mounts.replace(index, self.own(kept | mount))

    def drop_mount(self, container: JsonObject, mount: JsonObject) -> None:
        """Remove the mount of the same volume and subPath at the same path."""
        same = identity(mount)
        mounts = container.get("volumeMounts") or ()
        kept = [other for other in mounts if other["name"] != mount["name"] or identity(other) != same]
        if len(kept) < len(mounts):
            container["volumeMounts"] = kept

    def set_env(self, container: JsonObject, *variables: JsonObject) -> None:
        """Set environment variables: replace the first one of the same name, or append."""
        if not variables:
            return
        present = self.edit_list(container, "env")
        indexes = {variable["name"]: index for index, variable in reversed(list(enumerate(present)))}
        for variable in variables:
            index = indexes.setdefault(variable["name"], len(present))
            present[index : index + 1] = (variable,)

    def add_env(self, container: JsonObject, variables: Iterable[JsonObject]) -> None:
        """Append the environment variables that the container does not have."""
        present = {variable["name"] for variable in container.get("env") or ()}
        missing = [variable for variable in variables if variable["name"] not in present]
        if missing:
            self.edit_list(container, "env").extend(missing)


def mount(volume: str, path: str, *, read_only: bool, sub_path: str = "") -> JsonObject:
    """A VolumeMount without fields that have the default value."""
    result: JsonObject = {"name": volume, "mountPath": path}
    if sub_path:
        result["subPath"] = sub_path
    if read_only:
        result["readOnly"] = True
    return result


def secret_variable(name: str, secret: str, key: str) -> JsonObject:
    """An EnvVar with a secretKeyRef."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _path_is_taken(container: JsonObject, other: JsonObject, path: str) -> Denied:
    return Denied(
        f"container {quoted(container['name'])} already mounts volume {quoted(other['name'])} at {quoted(path)}, the "
        f"mount path of the model: move that mount, or choose another mount path with annotation {MOUNT_PATH} or {URIS}"
    )


def _described(volume: JsonObject) -> str:
    kind, reference = volume_source(volume)
    return f"{kind} {quoted(reference)}" if reference else f"of kind {quoted(kind)}"
