"""Which claim a pod's download is shared in."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.errors import Denied
from webhook.request import ModelRequest
from webhook.settings.model import Settings
from webhook.uri import ClaimPath, check, is_claim, parse_claim

NONE = "none"
ALL_NAMESPACES = "*"


def shared_cache(request: ModelRequest, settings: Settings) -> ClaimPath | None:
    """The claim and directory that the model is downloaded into once; None when each pod downloads its own.

    Raises Denied when the annotation is wrong, or asks for what cannot be.
    """
    text = request.annotations.get(keys.CACHE)
    if text is None:
        return _default(request, settings)
    if text.strip() == NONE or not _downloads_one(request):
        return None
    origin = f"annotation {keys.CACHE}"
    if not is_claim(uri := check(text, origin)):
        raise Denied(f'{origin} must name a claim, such as "pvc://models/cache", or be "{NONE}"')
    if not request.read_only:
        raise Denied(
            f"{origin} and a model that is not read-only exclude each other, since other pods mount the same copy: "
            f"remove the cache, or annotation {keys.READ_ONLY}"
        )
    return parse_claim(uri, origin)


def cache_claim(request: ModelRequest, settings: Settings) -> str | None:
    """The name of that claim; None as well when the annotation is wrong, for which the pod is denied elsewhere."""
    try:
        cache = shared_cache(request, settings)
    except Denied:
        return None
    return cache.claim if cache else None


def has_no_effect(request: ModelRequest) -> bool:
    """Whether the pod names a cache, and nothing that could be shared is downloaded."""
    return request.annotations.get(keys.CACHE, NONE).strip() != NONE and not _downloads_one(request)


def _default(request: ModelRequest, settings: Settings) -> ClaimPath | None:
    defaults = settings.storage_defaults.cache
    uri = defaults.get(request.namespace, defaults.get(ALL_NAMESPACES, ""))
    # Who asks for a writable model gets a copy of its own.
    if not uri or not request.read_only or not _downloads_one(request):
        return None
    return parse_claim(uri, "setting storageDefaults.cache")


def _downloads_one(request: ModelRequest) -> bool:
    return not request.several and any(source.claim is None for source in request.downloaded)
