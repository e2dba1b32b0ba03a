"""Models in OCI images that Kubernetes mounts as image volumes (KEP-4639)."""

from __future__ import annotations

from collections.abc import Mapping

from webhook.annotations import READ_ONLY
from webhook.pod.naming import volume_name
from webhook.pod.pod import JsonObject, PodDraft, mount
from webhook.request.injected import MODELS_SUB_PATH, mounted_images
from webhook.request.model_request import Source
from webhook.steps.inputs import Inputs


def mount_images(pod: PodDraft, inputs: Inputs) -> None:
    """Mount each image at its path in every target. Image volumes are always read-only."""
    images = inputs.request.images
    if images and not inputs.request.read_only:
        pod.warnings.append(
            f'annotation {READ_ONLY} "false" has no effect on an image volume, which Kubernetes mounts read-only'
        )
    mounted = mounted_images(pod.spec) if images else {}
    for source in images:
        volume = image_volume(pod, source, mounted)
        pod.ensure_volume(volume)
        for target in inputs.request.targets:
            pod.ensure_mount(pod.edit_target(target), image_mount(volume["name"], source))


def image_volume(pod: PodDraft, source: Source, mounted: Mapping[str, JsonObject]) -> JsonObject:
    """The image volume of a source, named after the mount path, or the mounted one of an earlier call.

    That one is recognized by its mount and not by its image, which policies pin to a digest or move to a mirror.
    """
    assert source.image is not None
    if (present := mounted.get(source.mount_path)) is not None:
        return present
    image = {"image": {"reference": source.image.reference, "pullPolicy": "IfNotPresent"}}
    return {"name": volume_name(source.mount_path, image, pod.spec.get("volumes")), **image}


def image_mount(volume: str, source: Source) -> JsonObject:
    """The volume mount of a source. An image volume with a subPath requires Kubernetes 1.33."""
    return mount(volume, source.mount_path, read_only=True, sub_path=MODELS_SUB_PATH)
