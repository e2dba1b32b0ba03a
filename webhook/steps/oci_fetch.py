"""Models in images that the init container pulls itself."""

from __future__ import annotations

from typing import Any

from webhook.annotations import SOURCE_URI
from webhook.errors import shown
from webhook.pod import JsonObject, PodDraft, mount
from webhook.request import ModelRequest
from webhook.steps.inputs import Inputs
from webhook.steps.storage_uri import point

DOCKER_CONFIG_VOLUME = "kserve-oci-fetch-docker-config"
DOCKER_CONFIG_PATH = "/mnt/oci-fetch-auth"

# Octal, as a mode is written: the init container's image runs as an ordinary user, the secret's files belong to root.
_READABLE = 0o444


def give_registry_access(pod: PodDraft, inputs: Inputs) -> None:
    """Let the init container pull images as the kubelet would: with the pod's first imagePullSecret."""
    container = pod.edit_init_container()
    if container is None or not any(source.is_image("fetch") for source in inputs.request.sources):
        return
    secrets = _pull_secrets(pod.spec)
    if secrets:
        _mount_docker_config(pod, container, secrets[0])
    if len(secrets) > 1:
        pod.warnings.append(
            f"the model is fetched with the first of the pod's {len(secrets)} imagePullSecrets, {shown(secrets[0])}: "
            "the others are not used for it"
        )
    if inputs.settings.storage_initializer.oci_insecure_registry:
        pod.add_env(container, [{"name": "KSERVE_OCI_INSECURE_REGISTRY", "value": "true"}])


def mend_fetched(pod: PodDraft, inputs: Inputs) -> None:
    """Bring what KServe's webhook made of `oci+fetch://`, where it ran first, to what it would be here.

    KServe mounts the model read-write whatever the pod says, leaves STORAGE_URI as it is, and mounts the pull secret
    so that only root can read it.
    """
    container = pod.init_container() or {}
    fetched = _fetched_paths(container.get("args"))
    places = {place for place in map(_place, container.get("volumeMounts") or ()) if place[1] in fetched}
    for server in pod.spec.get("containers") or ():
        mounted = [i for i, there in enumerate(server.get("volumeMounts") or ()) if _place(there) in places]
        if mounted:
            _mend_server(pod, server, mounted, inputs.request)
    _make_readable(pod)


def _fetched_paths(args: Any) -> set[str]:
    """Where an initializer with these arguments, pairs of URI and path, puts images."""
    words = [str(word) for word in args] if isinstance(args, list) else []
    return {path for uri, path in zip(words[::2], words[1::2], strict=False) if uri.startswith("oci://")}


def _place(mounted: JsonObject) -> tuple[str, str]:
    return mounted["name"], str(mounted.get("mountPath"))


def _mend_server(pod: PodDraft, server: JsonObject, mounted: list[int], request: ModelRequest) -> None:
    if request.read_only:
        mounts = pod.edit_list(pod.edit_container(server["name"]), "volumeMounts")
        for index in mounted:
            pod.edit_object(mounts, index)["readOnly"] = True
    if SOURCE_URI in request.annotations:
        point(pod, server["name"], server["volumeMounts"][mounted[0]]["mountPath"])


def _make_readable(pod: PodDraft) -> None:
    for index, volume in enumerate(pod.spec.get("volumes") or ()):
        if volume["name"] == DOCKER_CONFIG_VOLUME and isinstance(volume.get("secret"), dict):
            volumes = pod.edit_list(pod.edit_spec(), "volumes")
            pod.edit_object(pod.edit_object(volumes, index), "secret")["defaultMode"] = _READABLE


def _pull_secrets(spec: JsonObject) -> list[str]:
    listed = spec.get("imagePullSecrets")
    names = [item.get("name") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [name for name in names if isinstance(name, str) and name]


def _mount_docker_config(pod: PodDraft, container: JsonObject, secret: str) -> None:
    file = {"key": ".dockerconfigjson", "path": "config.json"}
    source = {"secretName": secret, "defaultMode": _READABLE, "items": [file]}
    pod.ensure_volume({"name": DOCKER_CONFIG_VOLUME, "secret": source})
    pod.ensure_mount(container, mount(DOCKER_CONFIG_VOLUME, DOCKER_CONFIG_PATH, read_only=True))
    pod.add_env(container, [{"name": "KSERVE_OCI_DOCKER_CONFIG", "value": f"{DOCKER_CONFIG_PATH}/config.json"}])
