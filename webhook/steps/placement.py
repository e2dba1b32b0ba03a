"""Order of the storage initializer among the pod's init containers."""

from __future__ import annotations

from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft
from webhook.steps.inputs import Inputs


def place_after_native_sidecars(pod: PodDraft, inputs: Inputs) -> None:
    """Move the storage initializer after the last native sidecar (an init container with restartPolicy Always).

    Init containers start in order, and a proxy that runs as a native sidecar must start before the download.
    """
    if pod.init_container() is None:
        return
    containers = pod.spec.get("initContainers") or ()
    position = next((i for i, container in enumerate(containers) if container["name"] == INIT_CONTAINER_NAME), None)
    last_sidecar = max((i for i, container in enumerate(containers) if _is_sidecar(container)), default=-1)
    if position is not None and position < last_sidecar:
        ordered = pod.edit_list(pod.edit_spec(), "initContainers")
        ordered.insert(last_sidecar, ordered.pop(position))


def _is_sidecar(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"
