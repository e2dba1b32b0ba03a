"""Models in images that Kubernetes mounts itself (KEP-4639, image volumes)."""

from __future__ import annotations

from webhook.annotations import READ_ONLY
from webhook.naming import volume_name
from webhook.pod import JsonObject, PodDraft, mount
from webhook.request import Source
from webhook.steps.inputs import Inputs

MODELS = "models"
"""The directory of the image that holds the model, the same as a modelcar's."""


def mount_images(pod: PodDraft, inputs: Inputs) -> None:
    """Mount each image's models at its path in every target: always read-only, as image volumes are."""
    images = inputs.request.images
    if images and not inputs.request.read_only:
        pod.warnings.append(
            f'annotation {READ_ONLY} "false" has no effect on an image volume, which Kubernetes mounts read-only'
        )
    for source in images:
        volume = image_volume(pod, source)
        pod.ensure_volume(volume)
        for target in inputs.request.targets:
            pod.ensure_mount(pod.edit_container(target), image_mount(volume["name"], source))


def image_volume(pod: PodDraft, source: Source) -> JsonObject:
    """The volume of a source's image, named after the mount path."""
    assert source.image is not None
    image = {"image": {"reference": source.image.reference, "pullPolicy": "IfNotPresent"}}
    return {"name": volume_name(source.mount_path, image, pod.spec.get("volumes")), **image}


def image_mount(volume: str, source: Source) -> JsonObject:
    """The mount of a source's models at its path (subPath: Kubernetes 1.33)."""
    return mount(volume, source.mount_path, read_only=True, sub_path=MODELS)
