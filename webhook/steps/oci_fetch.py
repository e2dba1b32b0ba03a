"""Models in images that the init container pulls itself."""

from __future__ import annotations

from webhook.errors import shown
from webhook.pod import JsonObject, PodDraft, mount
from webhook.steps.inputs import Inputs

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
