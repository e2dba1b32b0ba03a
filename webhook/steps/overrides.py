"""Image and resources of the init container from the pod's annotations, within the limits of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from webhook import annotations as keys
from webhook import quantity
from webhook.errors import Denied, Forbidden, quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.settings.formats import IMAGE_REFERENCE
from webhook.settings.storage_defaults import Overrides
from webhook.steps.inputs import Inputs

_IMAGE = re.compile(IMAGE_REFERENCE, re.ASCII)
_MAX_IMAGE = 1024


class _Resource(NamedTuple):
    name: str
    request: str
    limit: str
    maximum: str
    """The field of `Overrides` with the maximum of both annotations."""

    @property
    def maximum_key(self) -> str:
        first, *rest = self.maximum.split("_")
        return f"storageDefaults.overrides.{first}{''.join(word.title() for word in rest)}"


_RESOURCES = (
    _Resource("cpu", keys.CPU_REQUEST, keys.CPU_LIMIT, "cpu_limit"),
    _Resource("memory", keys.MEMORY_REQUEST, keys.MEMORY_LIMIT, "memory_limit"),
    _Resource(
        "ephemeral-storage",
        keys.EPHEMERAL_STORAGE_REQUEST,
        keys.EPHEMERAL_STORAGE_LIMIT,
        "ephemeral_storage_limit",
    ),
)


def apply_overrides(pod: PodDraft, inputs: Inputs) -> None:
    """Set the init container's image and resources from the pod's annotations.

    Raises Denied for an invalid image or quantity, Forbidden for a value that the settings do not allow.
    """
    if pod.init_container() is None:
        return
    annotations, allowed = inputs.request.annotations, inputs.settings.storage_defaults.overrides
    if (image := annotations.get(keys.IMAGE)) is not None:
        container = pod.edit_init_container()
        assert container is not None
        container["image"] = _allowed_image(image.strip(), allowed)
    for resource in _RESOURCES:
        if resource.request in annotations or resource.limit in annotations:
            _apply(pod, resource, annotations, allowed)


def _allowed_image(image: str, allowed: Overrides) -> str:
    if len(image) > _MAX_IMAGE or not _IMAGE.fullmatch(image):
        raise Denied(
            f"annotation {keys.IMAGE} {quoted(image)} is not an image reference: "
            "write one such as registry.example.com/team/image:v1"
        )
    if not any(fnmatchcase(image, pattern) for pattern in allowed.image):
        patterns = ", ".join(allowed.image) or "none"
        raise Forbidden(
            f"annotation {keys.IMAGE} {quoted(image)} is not allowed: the setting storageDefaults.overrides.image "
            f"allows {patterns}"
        )
    return image


def _apply(pod: PodDraft, resource: _Resource, annotations: Mapping[str, str], allowed: Overrides) -> None:
    container = pod.edit_init_container()
    assert container is not None
    resources = pod.edit_object(container, "resources")
    request = _amount(annotations, resource.request, resource, allowed)
    limit = _amount(annotations, resource.limit, resource, allowed)
    if limit is not None:
        pod.edit_object(resources, "limits")[resource.name] = limit
    if request is not None:
        pod.edit_object(resources, "requests")[resource.name] = request
    _fit_request(pod, resources, resource, from_annotation=request is not None)


def _amount(annotations: Mapping[str, str], key: str, resource: _Resource, allowed: Overrides) -> str | None:
    if key not in annotations:
        return None
    text = annotations[key].strip()
    try:
        amount = quantity.parse_positive(text)
    except ValueError as error:
        raise Denied(f"annotation {key} {quoted(text)}: {error}") from None
    maximum = getattr(allowed, resource.maximum)
    if maximum is not None and not amount and key == resource.limit:
        raise Forbidden(
            f"annotation {key} {quoted(text)} means no limit, but the setting {resource.maximum_key} allows at most "
            f"{maximum}: set a limit, or remove it"
        )
    if maximum is not None and amount > quantity.parse(maximum):
        raise Forbidden(
            f"annotation {key} {quoted(text)} is more than the {maximum} that the setting {resource.maximum_key} allows"
        )
    return text


def _fit_request(pod: PodDraft, resources: JsonObject, resource: _Resource, *, from_annotation: bool) -> None:
    """Lower a default request to the limit, because Kubernetes rejects a request above its limit.

    Raises Denied when the request comes from the pod's annotation.
    """
    request = (resources.get("requests") or {}).get(resource.name)
    limit = (resources.get("limits") or {}).get(resource.name)
    if request is None or limit is None or quantity.parse(request) <= quantity.parse(limit):
        return
    if from_annotation:
        raise Denied(
            f"annotation {resource.request} {quoted(request)} is more than the limit {limit}: "
            f"lower it, or raise the limit with annotation {resource.limit}"
        )
    pod.edit_object(resources, "requests")[resource.name] = limit
