"""Limits of disk and memory that the download shares with the rest of the pod."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from webhook import quantity
from webhook.annotations import MEMORY_LIMIT
from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.steps.inputs import Inputs
from webhook.steps.pod_resources import amount


def warn_about_storage_limits(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about a limit of the init container that ends the pod, or the init container, without naming the reason."""
    container = pod.init_container()
    if container is None:
        return
    if (limit := _limit(container, "ephemeral-storage")) is not None and not _has_disk_limit(pod, container):
        pod.warnings.append(
            f"set an ephemeral-storage limit on container {quoted(inputs.request.targets[0])}: no container has one, "
            f"so the limit {quoted(limit)} of the init container is that of the whole pod, and a pod that uses more, "
            "its model included, is evicted"
        )
    limit = _limit(container, "memory")
    if limit is not None and any(_may_fill(volume, limit) for volume in _memory_volumes(pod, container)):
        pod.warnings.append(
            f"the model is downloaded to memory, and counts towards the memory limit {quoted(limit)} of init container "
            f"{quoted(container['name'])}: a larger model ends it with exit code 137 (OOMKilled); raise annotation "
            f"{MEMORY_LIMIT}"
        )


def _limit(container: JsonObject, name: str) -> str | None:
    limit = amount(container.get("resources") or {}, "limits", name)
    return None if limit is None else str(limit)


def _has_disk_limit(pod: PodDraft, initializer: JsonObject) -> bool:
    """Whether another container has a limit. The pod's is the sum of its containers', or that of an init container."""
    containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
    others = (each for each in containers if each["name"] != initializer["name"])
    return any(_limit(each, "ephemeral-storage") is not None for each in others)


def _memory_volumes(pod: PodDraft, container: JsonObject) -> Iterator[JsonObject]:
    """The emptyDir volumes in memory that a container writes to."""
    written = {mount["name"] for mount in container.get("volumeMounts") or () if not mount.get("readOnly")}
    for volume in pod.spec.get("volumes") or ():
        source = volume.get("emptyDir")
        if isinstance(source, dict) and source.get("medium") == "Memory" and volume["name"] in written:
            yield source


def _may_fill(empty_dir: JsonObject, limit: str) -> bool:
    """Whether the volume may grow to the limit. If it cannot, the download fails with "No space left on device"."""
    size = empty_dir.get("sizeLimit")
    return size is None or _parsed(size) >= _parsed(limit)


def _parsed(text: object) -> Decimal:
    try:
        return quantity.parse(str(text))
    except ValueError:
        # The API server validates the pod's own quantities.
        return Decimal(0)
