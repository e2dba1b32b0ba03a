"""CA certificates that the init container trusts."""

from __future__ import annotations

from pathlib import PurePosixPath

from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft, find, mount
from webhook.request.sources import check_mount_path
from webhook.settings.kserve_keys import StorageInitializer
from webhook.steps.inputs import Inputs

CA_BUNDLE_VOLUME = "cabundle-cert"
GLOBAL_CA_BUNDLE = "global-ca-bundle"
"""KServe copies the configured ConfigMap into every other namespace under this name."""


def mount_ca_bundle(pod: PodDraft, inputs: Inputs) -> None:
    """Mount the ConfigMap with CA certificates into the init container, and set its variables.

    Runs after the ClusterStorageContainer is applied: its own variables and mounts take precedence.
    """
    container = pod.edit_init_container()
    config_map = _config_map(container, inputs) if container else ""
    if container is None or not config_map:
        return
    path = _mount_path(pod, container, inputs.settings.storage_initializer)
    variables = {"CA_BUNDLE_CONFIGMAP_NAME": config_map, "CA_BUNDLE_VOLUME_MOUNT_POINT": path}
    pod.add_env(container, [{"name": name, "value": value} for name, value in variables.items()])
    if not _is_mounted_at(container, path):
        pod.ensure_volume({"name": CA_BUNDLE_VOLUME, "configMap": {"name": config_map}})
        pod.ensure_mount(container, mount(CA_BUNDLE_VOLUME, path, read_only=True))


def _config_map(container: JsonObject, inputs: Inputs) -> str:
    if config_map := env_value(container, "AWS_CA_BUNDLE_CONFIGMAP"):
        return config_map
    settings = inputs.settings
    configured = settings.storage_initializer.ca_bundle_config_map_name
    is_original = inputs.request.namespace == settings.storage_defaults.kserve_namespace
    return configured if is_original or not configured else GLOBAL_CA_BUNDLE


def _mount_path(pod: PodDraft, container: JsonObject, config: StorageInitializer) -> str:
    """The directory of the file in AWS_CA_BUNDLE, or the configured mount path, with a warning if it cannot be used."""
    file, configured = env_value(container, "AWS_CA_BUNDLE"), config.ca_bundle_volume_mount_path
    if not file:
        return configured
    try:
        return check_mount_path(str(PurePosixPath(file).parent), "AWS_CA_BUNDLE")
    except Denied:
        pod.warnings.append(
            f"AWS_CA_BUNDLE {quoted(file)} is not in a directory where certificates can be mounted: they are mounted "
            f"at {quoted(configured)}; use the absolute path of a file in a directory, such as /etc/s3/ca.crt"
        )
        return configured


def env_value(container: JsonObject, name: str) -> str:
    """The value of a container's variable; "" when it has none, or only a reference."""
    value = (find(container.get("env"), name) or {}).get("value")
    return value if isinstance(value, str) else ""


def _is_mounted_at(container: JsonObject, path: str) -> bool:
    mounts = container.get("volumeMounts") or ()
    return any(str(existing.get("mountPath")).rstrip("/") == path.rstrip("/") for existing in mounts)
