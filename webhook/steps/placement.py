"""Order of the storage initializer, and of other added containers, among the pod's init containers."""

from __future__ import annotations

from webhook.pod.pod import INIT_CONTAINER_NAME, JsonObject, PodDraft
from webhook.steps.inputs import Inputs


def place_init_containers(pod: PodDraft, inputs: Inputs) -> None:
    """Move the storage initializer before the init containers that get the model, and after native sidecars.

    Init containers start in order. A proxy that runs as a native sidecar (an init container with restartPolicy Always)
    must start before the download, and the download must end before an init container that reads the model.
    """
    end = _move_before_targets(pod, inputs.request.init_targets) if inputs.request.init_targets else None
    if pod.init_container() is None:
        return
    containers = (pod.spec.get("initContainers") or ())[:end]
    position = next((i for i, container in enumerate(containers) if container["name"] == INIT_CONTAINER_NAME), None)
    last_sidecar = max((i for i, container in enumerate(containers) if _is_sidecar(container)), default=-1)
    if position is not None and position < last_sidecar:
        ordered = pod.edit_list(pod.edit_spec(), "initContainers")
        ordered.insert(last_sidecar, ordered.pop(position))


def _move_before_targets(pod: PodDraft, targets: tuple[str, ...]) -> int:
    """Move the added containers that follow a target before the first one. Returns the position of this one."""
    containers = pod.spec["initContainers"]
    added = {name for field, name in pod.added if field == "initContainers"}
    if pod.init_container() is not None:
        added.add(INIT_CONTAINER_NAME)
    first = next(i for i, container in enumerate(containers) if container["name"] in targets)
    late = [container for container in containers[first:] if container["name"] in added]
    if late:
        rest = [container for container in containers[first:] if container["name"] not in added]
        pod.edit_list(pod.edit_spec(), "initContainers")[first:] = late + rest
    return first + len(late)


def _is_sidecar(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"
