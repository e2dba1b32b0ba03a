"""Models in OCI images that run as sidecars (KServe modelcars). The targets read the model through /proc."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from webhook.annotations import MOUNT_PATH
from webhook.errors import Denied, quoted
from webhook.pod.naming import PROVISION_VOLUME
from webhook.pod.pod import MODEL_PATH, JsonObject, PodDraft, find, mount
from webhook.request.model_request import ModelRequest, Source
from webhook.request.oci import MODELCAR, is_modelcar, link_script, numbered
from webhook.settings.kserve_keys import StorageInitializer
from webhook.steps.download import download_directory
from webhook.steps.inputs import Inputs

MAX_MODELCARS = 10
"""The limit is KServe's. Each modelcar adds two containers."""

_KSERVE_DIRECTORY = str(PurePosixPath(MODEL_PATH).parent)
"""The fixed directory where KServe's webhook mounts the volume of a single modelcar."""

# The init container pulls the image before the targets start. Its log becomes the pod's termination message.
_CHECK_SCRIPT_START = "[ -d /models ] && [ -n "
_CHECK_SCRIPT = (
    f'{_CHECK_SCRIPT_START}"$$(ls -A /models)" ] || '
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
    request = inputs.request
    modelcars = _modelcars(request)
    if modelcars:
        _share_process_namespace(pod)
    for modelcar in modelcars:
        field = _find_sidecar(pod, modelcar)
        if field == "containers" and request.init_targets:
            raise Denied(
                f"init container {quoted(request.init_targets[0])} cannot read the model, because KServe's webhook "
                f"added a modelcar that starts after it: use oci+native:// or oci+fetch://"
            )
        pod.ensure_volume({"name": modelcar.volume, "emptyDir": {}})
        for target in request.targets:
            _mount_link(pod, target, modelcar)
        if field is None:
            _add(pod, modelcar, inputs)
        else:
            _adopt(pod, field, modelcar, inputs)
    if modelcars:
        _warn_about_other_ids(pod, request.targets)
        if inputs.settings.storage_initializer.uid_modelcar is None:
            _warn_about_group_of_image(pod, request.targets[0])


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


def _mount_link(pod: PodDraft, target: str, modelcar: _Modelcar) -> None:
    """Mount the volume with the modelcar's link into the target.

    The mount is writable, so that the container runtime can create mount points of other volumes inside it.
    """
    container = pod.edit_target(target)
    _check_link_is_visible(container, modelcar)
    pod.ensure_mount(container, mount(modelcar.volume, modelcar.directory, read_only=False), _KSERVE_DIRECTORY)
    # KServe's model servers then wait for the link instead of failing.
    pod.set_env(container, {"name": "MODEL_INIT_MODE", "value": "async"})


def _check_link_is_visible(container: JsonObject, modelcar: _Modelcar) -> None:
    for existing in container.get("volumeMounts") or ():
        if f"{existing.get('mountPath')}/".startswith(f"{modelcar.path}/"):
            raise Denied(
                f"container {quoted(container['name'])} already mounts volume {quoted(existing['name'])} at "
                f"{quoted(existing['mountPath'])}, which overlaps the model's mount path: move that mount, or choose "
                f"another mount path with annotation {MOUNT_PATH}"
            )


def _find_sidecar(pod: PodDraft, modelcar: _Modelcar) -> str | None:
    """The list of the spec that contains the modelcar's sidecar of an earlier call; None when there is none."""
    name = numbered(MODELCAR, modelcar.number)
    for field in ("containers", "initContainers"):
        existing = find(pod.spec.get(field), name)
        if existing and (is_modelcar(existing, modelcar.path) or is_modelcar(existing, MODEL_PATH)):
            return field
    return None


def _add(pod: PodDraft, modelcar: _Modelcar, inputs: Inputs) -> None:
    """Add the modelcar's containers, and run the targets as its user."""
    config = inputs.settings.storage_initializer
    pod.add_container(_check_container(modelcar, config))
    sidecar = _sidecar(modelcar, config, read_only=inputs.request.read_only)
    # A pod that runs to completion, such as a Job's, needs a native sidecar: Kubernetes ends it with the pod. Init
    # containers need one, because the pod's other containers start after them.
    if (pod.spec.get("restartPolicy") or "Always") == "Always" and not inputs.request.init_targets:
        pod.add_container(sidecar, "containers")
    else:
        link_exists = {"exec": {"command": ["test", "-e", modelcar.path]}, "periodSeconds": 1, "failureThreshold": 60}
        pod.add_container({**sidecar, "restartPolicy": "Always", "startupProbe": link_exists})
    _run_targets_as(pod, inputs.request.targets, config.uid_modelcar)
    for field, name in pod.added[-2:]:
        _follow_ids(pod, pod.edit_container(name, field), inputs.request.targets)


def _run_targets_as(pod: PodDraft, targets: tuple[str, ...], uid: int | None) -> None:
    for target in targets if uid is not None else ():
        pod.edit_object(pod.edit_target(target), "securityContext")["runAsUser"] = uid


def _adopt(pod: PodDraft, field: str, modelcar: _Modelcar, inputs: Inputs) -> None:
    """Bring the containers of an earlier call, or of KServe's webhook, to what this call would add.

    What others changed since stays: images, resources and user ids. The modelcar follows the user id of the target.
    """
    config, request = inputs.settings.storage_initializer, inputs.request
    wanted = _sidecar(modelcar, config, read_only=request.read_only)
    check = _check_container(modelcar, config)
    script = _check_script_of(find(pod.spec.get("initContainers"), check["name"]))
    if not script.startswith(_CHECK_SCRIPT_START):
        # KServe's webhook added it, so this is the first call.
        _run_targets_as(pod, request.targets, config.uid_modelcar)
    places = [(field, wanted)]
    if "/models" in script:
        places.append(("initContainers", check))
    else:
        pod.add_container(check)
    for present_in, each in places:
        pod.adopted.append((present_in, each["name"]))
        container = pod.edit_container(each["name"], present_in)
        _update(pod, container, each)
        _follow_ids(pod, container, request.targets)


def _check_script_of(container: JsonObject | None) -> str:
    """The shell script of a container, or ""."""
    args = container.get("args") if container else None
    is_script = isinstance(args, list) and len(args) == 3 and args[:2] == ["sh", "-c"]
    return str(args[2]) if is_script and args else ""


def _follow_ids(pod: PodDraft, container: JsonObject, targets: tuple[str, ...]) -> None:
    """Give a container of the modelcar the user and group of the first target, whoever set them.

    Only a process with the same ids can read /proc/PID/root (proc(5): ptrace access mode).
    """
    target = pod.container(targets[0]).get("securityContext") or {}
    for field in ("runAsUser", "runAsGroup"):
        if target.get(field) is not None:
            pod.edit_object(container, "securityContext")[field] = target[field]


def _warn_about_other_ids(pod: PodDraft, targets: tuple[str, ...]) -> None:
    """Warn about targets that cannot read the model, because they run with other ids than the first target."""
    first = pod.container(targets[0])
    for field in ("runAsUser", "runAsGroup"):
        wanted = pod.effective_id(first, field)
        others = [name for name in targets[1:] if pod.effective_id(pod.container(name), field) != wanted]
        if others:
            pod.warnings.append(
                f"container {quoted(others[0])} cannot read the model, because a modelcar can be read only with its "
                f"own user and group, which are those of container {quoted(first['name'])}: set {field} of both "
                f"containers to {'the same ID' if wanted is None else wanted}"
            )


def _warn_about_group_of_image(pod: PodDraft, target: str) -> None:
    """Warn about a target whose group the images decide: that of the user in their /etc/passwd, which may differ."""
    container = pod.container(target)
    user, group = (pod.effective_id(container, field) for field in ("runAsUser", "runAsGroup"))
    if user and group is None:
        pod.warnings.append(
            f"set runAsGroup of container {quoted(target)}: it runs as user {user}, whose group is that of its image, "
            "and it can read the model only if the model's image has the same group for this user"
        )


def _update(pod: PodDraft, existing: JsonObject, wanted: JsonObject) -> None:
    existing["args"] = wanted["args"]
    context = {field: value for field, value in wanted["securityContext"].items() if field != "runAsUser"}
    existing["securityContext"] = {**(existing.get("securityContext") or {}), **context}
    for each in wanted.get("volumeMounts", ()):
        pod.ensure_mount(existing, each, _KSERVE_DIRECTORY)


def _sidecar(modelcar: _Modelcar, config: StorageInitializer, *, read_only: bool) -> JsonObject:
    """The container that runs the image and links to its files.

    The link leads to the sidecar's own file system: only a read-only root file system protects the model from writes.
    """
    sidecar = {
        **_container(numbered(MODELCAR, modelcar.number), modelcar.image, config),
        "args": ["sh", "-c", link_script(modelcar.path)],
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
