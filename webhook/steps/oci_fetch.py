"""Models in OCI images that the init container pulls (`oci+fetch://`)."""

from __future__ import annotations

from typing import Any

from webhook.annotations import SOURCE_URI
from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft, mount
from webhook.request.model_request import ModelRequest
from webhook.steps.inputs import Inputs
from webhook.steps.storage_uri import replace_storage_uri

DOCKER_CONFIG_VOLUME = "kserve-oci-fetch-docker-config"
DOCKER_CONFIG_PATH = "/mnt/oci-fetch-auth"

# The Secret's files belong to root, and the init container runs as an ordinary user.
_FILE_MODE = 0o444


def mount_pull_secret(pod: PodDraft, inputs: Inputs) -> None:
    """Mount the pod's first imagePullSecret into the init container, for registries that require a login."""
    container = pod.edit_init_container()
    if container is None or not any(source.is_image("fetch") for source in inputs.request.sources):
        return
    secrets = _pull_secrets(pod.spec)
    if secrets:
        _mount_docker_config(pod, container, secrets[0])
    if len(secrets) > 1:
        pod.warnings.append(
            f"only the first of the pod's {len(secrets)} imagePullSecrets, {quoted(secrets[0])}, is used to pull "
            "the model"
        )
    if inputs.settings.storage_initializer.oci_insecure_registry:
        pod.add_env(container, [{"name": "KSERVE_OCI_INSECURE_REGISTRY", "value": "true"}])


def correct_kserve_oci_fetch(pod: PodDraft, inputs: Inputs) -> None:
    """Change what KServe's webhook injected for `oci+fetch://` to what this webhook injects.

    KServe always mounts the model read-write, does not change STORAGE_URI, and mounts the pull secret with a mode
    that only root can read.
    """
    init_container = pod.init_container() or {}
    paths = _fetched_paths(init_container.get("args"))
    volumes = {key for key in map(_volume_and_path, init_container.get("volumeMounts") or ()) if key[1] in paths}
    for container in pod.spec.get("containers") or ():
        mounts = container.get("volumeMounts") or ()
        indexes = [index for index, each in enumerate(mounts) if _volume_and_path(each) in volumes]
        if indexes:
            _correct_target(pod, container, indexes, inputs.request)
    _make_pull_secret_readable(pod)


def _fetched_paths(args: Any) -> set[str]:
    """The directories of images in the init container's arguments, which are pairs of URI and path."""
    texts = [str(arg) for arg in args] if isinstance(args, list) else []
    return {path for uri, path in zip(texts[::2], texts[1::2], strict=False) if uri.startswith("oci://")}


def _volume_and_path(volume_mount: JsonObject) -> tuple[str, str]:
    return volume_mount["name"], str(volume_mount.get("mountPath"))


def _correct_target(pod: PodDraft, container: JsonObject, indexes: list[int], request: ModelRequest) -> None:
    if request.read_only:
        mounts = pod.edit_list(pod.edit_container(container["name"]), "volumeMounts")
        for index in indexes:
            pod.edit_object(mounts, index)["readOnly"] = True
    if SOURCE_URI in request.annotations:
        replace_storage_uri(pod, container["name"], container["volumeMounts"][indexes[0]]["mountPath"])


def _make_pull_secret_readable(pod: PodDraft) -> None:
    for index, volume in enumerate(pod.spec.get("volumes") or ()):
        if volume["name"] == DOCKER_CONFIG_VOLUME and isinstance(volume.get("secret"), dict):
            volumes = pod.edit_list(pod.edit_spec(), "volumes")
            pod.edit_object(pod.edit_object(volumes, index), "secret")["defaultMode"] = _FILE_MODE


def _pull_secrets(spec: JsonObject) -> list[str]:
    listed = spec.get("imagePullSecrets")
    names = [item.get("name") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [name for name in names if isinstance(name, str) and name]


def _mount_docker_config(pod: PodDraft, container: JsonObject, secret: str) -> None:
    file = {"key": ".dockerconfigjson", "path": "config.json"}
    source = {"secretName": secret, "defaultMode": _FILE_MODE, "items": [file]}
    pod.ensure_volume({"name": DOCKER_CONFIG_VOLUME, "secret": source})
    pod.ensure_mount(container, mount(DOCKER_CONFIG_VOLUME, DOCKER_CONFIG_PATH, read_only=True))
    pod.add_env(container, [{"name": "KSERVE_OCI_DOCKER_CONFIG", "value": f"{DOCKER_CONFIG_PATH}/config.json"}])
