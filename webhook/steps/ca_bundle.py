"""CA certificates that the init container trusts."""

from __future__ import annotations

from pathlib import PurePosixPath

from webhook.pod.pod import JsonObject, PodDraft, find, mount
from webhook.request.model_request import ModelRequest
from webhook.request.sources import check_mount_path
from webhook.settings.model import StorageInitializer
from webhook.steps.inputs import Inputs

CA_BUNDLE_VOLUME = "cabundle-cert"
KSERVE_NAMESPACE = "kserve"
GLOBAL_CA_BUNDLE = "global-ca-bundle"
"""KServe copies the configured ConfigMap into every other namespace under this name."""


def mount_ca_bundle(pod: PodDraft, inputs: Inputs) -> None:
    """Mount the ConfigMap with CA certificates into the init container, and set its variables.

    Runs after the ClusterStorageContainer is applied: its own variables and mounts take precedence.
    Raises Denied when the CA bundle's path is not a valid mount path.
    """
    container, config = pod.edit_init_container(), inputs.settings.storage_initializer
    config_map = _config_map(container, config, inputs.request) if container else ""
    if container is None or not config_map:
        return
    path = _mount_path(container, config)
    variables = {"CA_BUNDLE_CONFIGMAP_NAME": config_map, "CA_BUNDLE_VOLUME_MOUNT_POINT": path}
    pod.add_env(container, [{"name": name, "value": value} for name, value in variables.items()])
    if not _is_mounted_at(container, path):
        pod.ensure_volume({"name": CA_BUNDLE_VOLUME, "configMap": {"name": config_map}})
        pod.ensure_mount(container, mount(CA_BUNDLE_VOLUME, path, read_only=True))


def _config_map(container: JsonObject, config: StorageInitializer, request: ModelRequest) -> str:
    if config_map := _env_value(container, "AWS_CA_BUNDLE_CONFIGMAP"):
        return config_map
    configured = config.ca_bundle_config_map_name
    return configured if request.namespace == KSERVE_NAMESPACE or not configured else GLOBAL_CA_BUNDLE


def _mount_path(container: JsonObject, config: StorageInitializer) -> str:
    """The directory of the file in AWS_CA_BUNDLE, or the configured mount path."""
    file = _env_value(container, "AWS_CA_BUNDLE")
    if not file:
        return config.ca_bundle_volume_mount_path
    return check_mount_path(str(PurePosixPath(file).parent), "the directory of AWS_CA_BUNDLE")


def _env_value(container: JsonObject, name: str) -> str:
    value = (find(container.get("env"), name) or {}).get("value")
    return value if isinstance(value, str) else ""


def _is_mounted_at(container: JsonObject, path: str) -> bool:
    mounts = container.get("volumeMounts") or ()
    return any(str(existing.get("mountPath")).rstrip("/") == path.rstrip("/") for existing in mounts)
