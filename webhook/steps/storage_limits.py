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

_DOWNLOADER = 128 * 2**20
"""The bytes of memory that the downloader needs besides the model."""


def warn_about_storage_limits(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about a limit of the init container that ends the pod, or the init container, without naming the reason."""
    container = pod.init_container()
    if container is None:
        return
    if (limit := _limit(container, "ephemeral-storage")) is not None and not _has_disk_limit(pod, inputs):
        pod.warnings.append(
            f"set an ephemeral-storage limit on container {quoted(inputs.request.targets[0])}: it has none, so the "
            f"limits of other containers, such as {quoted(limit)} of the init container, are those of the whole pod, "
            "and a pod that uses more, its model included, is evicted"
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


def _has_disk_limit(pod: PodDraft, inputs: Inputs) -> bool:
    """Whether a target has a limit. The pod's is the sum of its containers', or that of an init container."""
    targets = map(pod.container, inputs.request.targets)
    return any(_limit(each, "ephemeral-storage") is not None for each in targets)


def _memory_volumes(pod: PodDraft, container: JsonObject) -> Iterator[JsonObject]:
    """The emptyDir volumes in memory that a container writes to."""
    written = {mount["name"] for mount in container.get("volumeMounts") or () if not mount.get("readOnly")}
    for volume in pod.spec.get("volumes") or ():
        source = volume.get("emptyDir")
        if isinstance(source, dict) and source.get("medium") == "Memory" and volume["name"] in written:
            yield source


def _may_fill(empty_dir: JsonObject, limit: str) -> bool:
    """Whether the volume and the downloader may exceed the limit.

    If they cannot, the download fails with "No space left on device".
    """
    size = empty_dir.get("sizeLimit")
    return size is None or _parsed(size) + _DOWNLOADER > _parsed(limit)


def _parsed(text: object) -> Decimal:
    try:
        return quantity.parse(str(text))
    except ValueError:
        # The API server validates the pod's own quantities.
        return Decimal(0)
