"""The pod's own wishes for its init container, within what the settings allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from webhook import annotations as keys
from webhook import quantity
from webhook.errors import Denied, Forbidden, shown
from webhook.pod import JsonObject, PodDraft
from webhook.settings.formats import IMAGE_REFERENCE
from webhook.settings.model import Overrides
from webhook.steps.inputs import Inputs

_IMAGE = re.compile(IMAGE_REFERENCE, re.ASCII)
_MAX_IMAGE = 1024


class _Resource(NamedTuple):
    name: str
    request: str
    limit: str
    ceiling: str
    """The field of `Overrides` that bounds it."""

    @property
    def ceiling_key(self) -> str:
        head, *rest = self.ceiling.split("_")
        return f"storageDefaults.overrides.{head}{''.join(word.title() for word in rest)}"


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
    """Set the init container's image and resources to what the pod's annotations say.

    Raises Denied for a value that is no image or quantity, Forbidden for one that the settings do not allow.
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
            f"annotation {keys.IMAGE} {shown(image)} is not an image reference: "
            "write one such as registry.example.com/team/image:v1"
        )
    if not any(fnmatchcase(image, pattern) for pattern in allowed.image):
        patterns = ", ".join(allowed.image) or "none"
        raise Forbidden(
            f"annotation {keys.IMAGE} {shown(image)} is not allowed: the setting storageDefaults.overrides.image "
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
    _fit_request(pod, resources, resource, asked=request is not None)


def _amount(annotations: Mapping[str, str], key: str, resource: _Resource, allowed: Overrides) -> str | None:
    if key not in annotations:
        return None
    text = annotations[key].strip()
    try:
        amount = quantity.parse_positive(text)
    except ValueError as error:
        raise Denied(f"annotation {key} {shown(text)}: {error}") from None
    ceiling = getattr(allowed, resource.ceiling)
    if ceiling is not None and amount > quantity.parse(ceiling):
        raise Forbidden(
            f"annotation {key} {shown(text)} is more than the {ceiling} that the setting {resource.ceiling_key} allows"
        )
    return text


def _fit_request(pod: PodDraft, resources: JsonObject, resource: _Resource, *, asked: bool) -> None:
    """Kubernetes rejects a request above its limit: a default request is lowered, one that was asked for is denied."""
    request = (resources.get("requests") or {}).get(resource.name)
    limit = (resources.get("limits") or {}).get(resource.name)
    if request is None or limit is None or quantity.parse(request) <= quantity.parse(limit):
        return
    if asked:
        raise Denied(
            f"annotation {resource.request} {shown(request)} is more than the limit {limit}: "
            f"lower it, or raise the limit with annotation {resource.limit}"
        )
    pod.edit_object(resources, "requests")[resource.name] = limit
