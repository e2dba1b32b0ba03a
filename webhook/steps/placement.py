"""Where the storage initializer stands among the pod's init containers."""

from __future__ import annotations

from webhook.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft
from webhook.steps.inputs import Inputs


def place_after_native_sidecars(pod: PodDraft, inputs: Inputs) -> None:
    """Move the storage initializer behind the last native sidecar.

    A proxy that runs as a native sidecar (init container with restartPolicy Always) must be up before the download
    starts, and init containers start in order.
    """
    containers = pod.spec.get("initContainers") or ()
    ours = next((i for i, container in enumerate(containers) if container["name"] == INIT_CONTAINER_NAME), None)
    last = max((i for i, container in enumerate(containers) if _is_sidecar(container)), default=-1)
    if ours is not None and ours < last:
        ordered = pod.edit_list(pod.edit_spec(), "initContainers")
        ordered.insert(last, ordered.pop(ours))


def _is_sidecar(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"
