"""Models in OCI images that run as sidecars (KServe modelcars). The targets read the model through /proc."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import NamedTuple

from webhook.annotations import MOUNT_PATH
from webhook.errors import Denied, quoted
from webhook.pod.pod import MODEL_PATH, JsonObject, PodDraft, find, mount
from webhook.request.model_request import ModelRequest, Source
from webhook.request.oci import MODELCAR, numbered
from webhook.settings.model import StorageInitializer
from webhook.steps.download import PROVISION_VOLUME, download_directory
from webhook.steps.inputs import Inputs

MAX_MODELCARS = 10
"""The limit is KServe's. Each modelcar adds two containers."""

_KSERVE_DIRECTORY = str(PurePosixPath(MODEL_PATH).parent)
"""The fixed directory where KServe's webhook mounts the volume of a single modelcar."""

# The init container pulls the image before the targets start. Its log becomes the pod's termination message.
_CHECK_SCRIPT = (
    '[ -d /models ] && [ -n "$$(ls -A /models)" ] || '
    "{ echo 'The image holds no model: its directory /models is missing or empty.'; exit 1; }"
)


class _Modelcar(NamedTuple):
    number: int
    image: str
    path: str
    """The model's path in the targets: a symbolic link that the modelcar creates."""
    volume: str
    """The volume that contains the link, mounted at `directory`."""

    @property
    def directory(self) -> str:
        return _parent(self.path)


def add_modelcars(pod: PodDraft, inputs: Inputs) -> None:
    """Run each image as a sidecar that links its models into a volume shared with every target.

    Raises Denied when the containers cannot share a process namespace, or when a link cannot be created at its path.
    """
    request, config = inputs.request, inputs.settings.storage_initializer
    modelcars = _modelcars(request)
    if modelcars:
        _share_process_namespace(pod)
    for modelcar in modelcars:
        pod.ensure_volume({"name": modelcar.volume, "emptyDir": {}})
        for target in request.targets:
            _mount_link(pod, target, modelcar, config.uid_modelcar)
        _ensure_container(pod, _check_container(modelcar, config), "initContainers")
        _ensure_sidecar(pod, _sidecar(modelcar, config, read_only=request.read_only), modelcar.path)


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _modelcars(request: ModelRequest) -> list[_Modelcar]:
    """The numbered modelcars. Modelcars with links in the same directory share a volume."""
    sources = request.modelcars
    if len(sources) > MAX_MODELCARS:
        raise Denied(
            f"the pod requests {len(sources)} modelcars of two containers each, but at most {MAX_MODELCARS} are "
            "allowed: use oci+native:// or oci+fetch:// for the others"
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
    """The parent directory of the source's link, where the volume is mounted.

    Raises Denied when no volume can be mounted there.
    """
    path, directory = source.mount_path, _parent(source.mount_path)
    if directory == "/":
        raise Denied(
            f"{source.origin}: a modelcar cannot be linked at {quoted(path)}: use a mount path such as {MODEL_PATH}"
        )
    if request.downloaded and PurePosixPath(directory).is_relative_to(download_directory(request)):
        raise Denied(
            f"{source.origin}: a modelcar cannot be linked at {quoted(path)}, inside the download directory "
            f"{quoted(download_directory(request))}: use a mount path in a separate directory"
        )
    return directory


def _share_process_namespace(pod: PodDraft) -> None:
    if (pod.spec.get("os") or {}).get("name") == "windows":
        raise Denied("a modelcar provides its model through /proc, which Windows does not have: use oci+fetch://")
    for field, conflicting in (("hostPID", True), ("shareProcessNamespace", False)):
        if pod.spec.get(field) is conflicting:
            raise Denied(
                f"the pod has {field}: {str(conflicting).lower()}, but a modelcar requires a process namespace that "
                "the pod's containers share: remove the field, or use oci+native:// or oci+fetch://"
            )
    if pod.spec.get("shareProcessNamespace") is not True:
        pod.edit_spec()["shareProcessNamespace"] = True


def _mount_link(pod: PodDraft, target: str, modelcar: _Modelcar, uid: int | None) -> None:
    """Mount the volume with the modelcar's link into the target.

    The mount is writable, so that the container runtime can create mount points of other volumes inside it.
    """
    container = pod.edit_container(target)
    _check_link_is_visible(container, modelcar)
    pod.ensure_mount(container, mount(modelcar.volume, modelcar.directory, read_only=False), _KSERVE_DIRECTORY)
    # KServe's model servers then wait for the link instead of failing.
    pod.set_env(container, {"name": "MODEL_INIT_MODE", "value": "async"})
    if uid is not None:
        # Only a process with the same user id can read /proc/PID/root (proc(5): ptrace access mode).
        pod.edit_object(container, "securityContext")["runAsUser"] = uid


def _check_link_is_visible(container: JsonObject, modelcar: _Modelcar) -> None:
    for existing in container.get("volumeMounts") or ():
        if f"{existing.get('mountPath')}/".startswith(f"{modelcar.path}/"):
            raise Denied(
                f"container {quoted(container['name'])} already mounts volume {quoted(existing['name'])} at "
                f"{quoted(existing['mountPath'])}, which overlaps the model's mount path: move that mount, or choose "
                f"another mount path with annotation {MOUNT_PATH}"
            )


def _ensure_sidecar(pod: PodDraft, sidecar: JsonObject, path: str) -> None:
    """Add the sidecar as a container, or as a native sidecar to a pod that runs to completion, such as a Job's."""
    if (pod.spec.get("restartPolicy") or "Always") == "Always":
        _ensure_container(pod, sidecar, "containers")
        return
    link_exists = {"exec": {"command": ["test", "-e", path]}, "periodSeconds": 1, "failureThreshold": 60}
    _ensure_container(pod, {**sidecar, "restartPolicy": "Always", "startupProbe": link_exists}, "initContainers")


def _ensure_container(pod: PodDraft, container: JsonObject, field: str) -> None:
    """Add the container, or update the container of that name and image that KServe's webhook added."""
    for present in ("containers", "initContainers"):
        existing = find(pod.spec.get(present), container["name"])
        if existing is not None and existing.get("image") == container["image"]:
            pod.added.append((present, container["name"]))
            _update(pod, pod.edit_container(container["name"], present), container)
            return
    pod.add_container(container, field)


def _update(pod: PodDraft, existing: JsonObject, wanted: JsonObject) -> None:
    existing["args"] = wanted["args"]
    existing["securityContext"] = {**(existing.get("securityContext") or {}), **wanted["securityContext"]}
    for each in wanted.get("volumeMounts", ()):
        pod.ensure_mount(existing, each, _KSERVE_DIRECTORY)


def _sidecar(modelcar: _Modelcar, config: StorageInitializer, *, read_only: bool) -> JsonObject:
    """The container that runs the image and links to its files.

    The link leads to the sidecar's own file system: only a read-only root file system protects the model from writes.
    """
    # Kubernetes expands $$$$ in args to $$, the shell's process id. A $ in the path is escaped the same way.
    link = shlex.quote(modelcar.path).replace("$", "$$")
    sidecar = {
        **_container(numbered(MODELCAR, modelcar.number), modelcar.image, config),
        "args": ["sh", "-c", f"ln -sf /proc/$$$$/root/models {link} && sleep infinity"],
        "volumeMounts": [mount(modelcar.volume, modelcar.directory, read_only=False)],
    }
    if read_only:
        sidecar["securityContext"]["readOnlyRootFilesystem"] = True
    return sidecar


def _check_container(modelcar: _Modelcar, config: StorageInitializer) -> JsonObject:
    name = numbered(f"{MODELCAR}-init", modelcar.number)
    return {**_container(name, modelcar.image, config), "args": ["sh", "-c", _CHECK_SCRIPT]}


def _container(name: str, image: str, config: StorageInitializer) -> JsonObject:
    amounts = {"cpu": config.cpu_modelcar, "memory": config.memory_modelcar}
    # KServe does not set the user of the init container, but in a pod that must not run as root it needs one.
    context = {} if config.uid_modelcar is None else {"runAsUser": config.uid_modelcar}
    return {
        "name": name,
        "image": image,
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": context,
    }
