"""Models in images that run beside the servers, which reach them through /proc (KServe: modelcar)."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import NamedTuple

from webhook.annotations import MOUNT_PATH
from webhook.errors import Denied, shown
from webhook.oci import MODELCAR, numbered
from webhook.pod import MODEL_PATH, JsonObject, PodDraft, find, mount
from webhook.request import ModelRequest, Source
from webhook.settings.model import StorageInitializer
from webhook.steps.download import PROVISION_VOLUME, download_directory
from webhook.steps.inputs import Inputs

MAX_MODELCARS = 10
"""Each costs two containers (KServe has the same limit)."""

_KSERVES_DIRECTORY = str(PurePosixPath(MODEL_PATH).parent)
"""Where KServe's webhook, which knows no other place, mounts the volume of a single modelcar."""

# The init container pulls the image before any server starts, and its log becomes the pod's termination message.
_CHECK = (
    '[ -d /models ] && [ -n "$$(ls -A /models)" ] || '
    "{ echo 'The image holds no model: its directory /models is missing or empty.'; exit 1; }"
)


class _Modelcar(NamedTuple):
    number: int
    image: str
    path: str
    """Where the servers find the model: a link that the modelcar makes."""
    volume: str
    """The volume that holds the link, mounted at `directory`."""

    @property
    def directory(self) -> str:
        return _parent(self.path)


def add_modelcars(pod: PodDraft, inputs: Inputs) -> None:
    """Run each image as a sidecar that links its models into a volume shared with every target.

    Raises Denied when the containers may not see each other's processes, or when a link has no place.
    """
    request, choice = inputs.request, inputs.settings.storage_initializer
    modelcars = _modelcars(request)
    if modelcars:
        _share_processes(pod)
    for modelcar in modelcars:
        pod.ensure_volume({"name": modelcar.volume, "emptyDir": {}})
        for target in request.targets:
            _give(pod, target, modelcar, choice.uid_modelcar)
        _ensure_container(pod, _check(modelcar, choice), "initContainers")
        _ensure_sidecar(pod, _sidecar(modelcar, choice, read_only=request.read_only), modelcar.path)


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _modelcars(request: ModelRequest) -> list[_Modelcar]:
    """The modelcars, numbered; those that link into the same directory do so in one volume."""
    sources = request.modelcars
    if len(sources) > MAX_MODELCARS:
        raise Denied(
            f"the pod asks for {len(sources)} modelcars, two containers each, and may have {MAX_MODELCARS}: "
            "use oci+native:// or oci+fetch:// for the others"
        )
    directories = list(dict.fromkeys(_directory(source, request) for source in sources))
    return [
        _Modelcar(
            number,
            source.image.reference,
            source.mount_path,
            numbered(PROVISION_VOLUME, directories.index(_parent(source.mount_path))),
        )
        for number, source in enumerate(sources)
        if source.image
    ]


def _directory(source: Source, request: ModelRequest) -> str:
    """The directory that the source's link is made in; a volume covers all of it."""
    path, directory = source.mount_path, _parent(source.mount_path)
    if directory == "/":
        raise Denied(
            f"{source.origin}: a modelcar cannot be linked at {shown(path)}: choose a path such as {MODEL_PATH}"
        )
    if request.downloaded and PurePosixPath(directory).is_relative_to(download_directory(request)):
        raise Denied(
            f"{source.origin}: a modelcar cannot be linked at {shown(path)}, below the directory of the downloads, "
            f"{shown(download_directory(request))}: give it a directory of its own"
        )
    return directory


def _share_processes(pod: PodDraft) -> None:
    if (pod.spec.get("os") or {}).get("name") == "windows":
        raise Denied("a modelcar's model is reached through /proc, which Windows has not: use oci+fetch://")
    for field, meant in (("hostPID", True), ("shareProcessNamespace", False)):
        if pod.spec.get(field) is meant:
            raise Denied(
                f"the pod has {field}: {str(meant).lower()}, but a modelcar's model is reached through the processes "
                "that the pod's containers share: remove it, or use oci+native:// or oci+fetch://"
            )
    if pod.spec.get("shareProcessNamespace") is not True:
        pod.edit_spec()["shareProcessNamespace"] = True


def _give(pod: PodDraft, target: str, modelcar: _Modelcar, uid: int | None) -> None:
    """Show the target the modelcar's model.

    The volume holds nothing but the link, and stays writable: mount points of other volumes below it are made in it.
    """
    container = pod.edit_container(target)
    _check_link_is_seen(container, modelcar)
    pod.ensure_mount(container, mount(modelcar.volume, modelcar.directory, read_only=False), _KSERVES_DIRECTORY)
    # KServe's servers wait for the model then, instead of failing when the link is not there yet.
    pod.set_env(container, {"name": "MODEL_INIT_MODE", "value": "async"})
    if uid is not None:
        # Only a process with the same ids may look through /proc/PID/root (proc(5): ptrace access mode).
        pod.edit_object(container, "securityContext")["runAsUser"] = uid


def _check_link_is_seen(container: JsonObject, modelcar: _Modelcar) -> None:
    for existing in container.get("volumeMounts") or ():
        if f"{existing.get('mountPath')}/".startswith(f"{modelcar.path}/"):
            raise Denied(
                f"container {shown(container['name'])} already mounts volume {shown(existing['name'])} at "
                f"{shown(existing['mountPath'])}, where the model goes: move that mount, or choose another place "
                f"with annotation {MOUNT_PATH}"
            )


def _ensure_sidecar(pod: PodDraft, sidecar: JsonObject, path: str) -> None:
    """Add the sidecar in a way that lets the pod end: beside the servers, or in a Job's pod as a native sidecar."""
    if (pod.spec.get("restartPolicy") or "Always") == "Always":
        _ensure_container(pod, sidecar, "containers")
        return
    linked = {"exec": {"command": ["test", "-e", path]}, "periodSeconds": 1, "failureThreshold": 60}
    _ensure_container(pod, {**sidecar, "restartPolicy": "Always", "startupProbe": linked}, "initContainers")


def _ensure_container(pod: PodDraft, container: JsonObject, field: str) -> None:
    """Add the container, or make one of that name and image, which KServe's webhook added, what it would be."""
    for present in ("containers", "initContainers"):
        existing = find(pod.spec.get(present), container["name"])
        if existing is not None and existing.get("image") == container["image"]:
            pod.added.append((present, container["name"]))
            _adopt(pod, pod.edit_container(container["name"], present), container)
            return
    pod.add_container(container, field)


def _adopt(pod: PodDraft, existing: JsonObject, wanted: JsonObject) -> None:
    existing["args"] = wanted["args"]
    existing["securityContext"] = {**(existing.get("securityContext") or {}), **wanted["securityContext"]}
    for each in wanted.get("volumeMounts", ()):
        pod.ensure_mount(existing, each, _KSERVES_DIRECTORY)


def _sidecar(modelcar: _Modelcar, choice: StorageInitializer, *, read_only: bool) -> JsonObject:
    """The container that holds the image's files, and a link to them, for as long as it runs.

    What servers reach through the link are the sidecar's own files: only its read-only root keeps them as they are.
    """
    # $$$$ becomes $$ (Kubernetes: args), the shell's process id; a path's own $ must not become anything else.
    link = shlex.quote(modelcar.path).replace("$", "$$")
    sidecar = {
        **_container(numbered(MODELCAR, modelcar.number), modelcar.image, choice),
        "args": ["sh", "-c", f"ln -sf /proc/$$$$/root/models {link} && sleep infinity"],
        "volumeMounts": [mount(modelcar.volume, modelcar.directory, read_only=False)],
    }
    if read_only:
        sidecar["securityContext"]["readOnlyRootFilesystem"] = True
    return sidecar


def _check(modelcar: _Modelcar, choice: StorageInitializer) -> JsonObject:
    name = numbered(f"{MODELCAR}-init", modelcar.number)
    return {**_container(name, modelcar.image, choice), "args": ["sh", "-c", _CHECK]}


def _container(name: str, image: str, choice: StorageInitializer) -> JsonObject:
    amounts = {"cpu": choice.cpu_modelcar, "memory": choice.memory_modelcar}
    # KServe leaves the init container to the image's own user, which may be root: a pod that forbids root needs more.
    context = {} if choice.uid_modelcar is None else {"runAsUser": choice.uid_modelcar}
    return {
        "name": name,
        "image": image,
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": context,
    }
