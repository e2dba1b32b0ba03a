"""Models in OCI images that the init container pulls (`oci+fetch://`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.annotations import SOURCE_URI
from webhook.cluster.facts import DOCKER_CONFIG_KEY, Facts, PullSecret
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
    """Mount one of the pod's imagePullSecrets into the init container, for registries that require a login.

    That is the first with the key `.dockerconfigjson`, or the first that may have it, as an optional volume.
    """
    container = pod.edit_init_container()
    if container is None or not any(source.is_image("fetch") for source in inputs.request.sources):
        return
    names = inputs.request.pull_secrets
    usable = [name for name in names if _has_docker_config(inputs.facts, name)]
    unknown = [name for name in names if _has_docker_config(inputs.facts, name) is None]
    if usable or unknown:
        _mount_docker_config(pod, container, (usable or unknown)[0], optional=not usable)
    if names:
        pod.warnings.extend((*_missing_secrets(inputs), *_choice_warning(usable, unknown)))
    if inputs.settings.storage_initializer.oci_insecure_registry:
        pod.add_env(container, [{"name": "KSERVE_OCI_INSECURE_REGISTRY", "value": "true"}])


def _has_docker_config(facts: Facts, name: str) -> bool | None:
    """Whether the Secret exists and has the key that is mounted; None when it was not read."""
    secret = facts.pull_secrets.get(name, PullSecret())
    return secret.has_docker_config if secret else False


def _missing_secrets(inputs: Inputs) -> Iterator[str]:
    for name, secret in inputs.facts.pull_secrets.items():
        if secret is None:
            yield (
                f"imagePullSecrets: Secret {quoted(name)} does not exist and is skipped: create it, or remove it from "
                "the list"
            )


def _choice_warning(usable: list[str], unknown: list[str]) -> Iterator[str]:
    if len(usable) > 1:
        yield (
            f"imagePullSecrets: only Secret {quoted(usable[0])}, the first of {len(usable)} with key "
            f"{DOCKER_CONFIG_KEY}, is used to pull the model: list the one for its registry first"
        )
    elif unknown and not usable:
        yield (
            f"imagePullSecrets: Secret {quoted(unknown[0])} is used to pull the model, but could not be read: list one "
            f"with key {DOCKER_CONFIG_KEY} first, or the model is pulled without a login"
        )
    elif not usable:
        yield (
            f"imagePullSecrets: no Secret has key {DOCKER_CONFIG_KEY}, so the model is pulled without a login: add one "
            "of type kubernetes.io/dockerconfigjson"
        )


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
            if volume["secret"].get("defaultMode") == _FILE_MODE:
                continue
            volumes = pod.edit_list(pod.edit_spec(), "volumes")
            secret = pod.edit_object(pod.edit_object(volumes, index), "secret")
            # KServe takes the first Secret, whether or not it has the key. Without the key the pod would never start.
            secret.update({"defaultMode": _FILE_MODE, "optional": True})


def _mount_docker_config(pod: PodDraft, container: JsonObject, secret: str, *, optional: bool) -> None:
    file = {"key": DOCKER_CONFIG_KEY, "path": "config.json"}
    source: JsonObject = {"secretName": secret, "defaultMode": _FILE_MODE, "items": [file]}
    if optional:
        source["optional"] = True
    pod.ensure_volume({"name": DOCKER_CONFIG_VOLUME, "secret": source})
    pod.ensure_mount(container, mount(DOCKER_CONFIG_VOLUME, DOCKER_CONFIG_PATH, read_only=True))
    pod.add_env(container, [{"name": "KSERVE_OCI_DOCKER_CONFIG", "value": f"{DOCKER_CONFIG_PATH}/config.json"}])
