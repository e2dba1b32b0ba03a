"""The shared cache of a request: the claim that pods share a download in."""

from __future__ import annotations

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.request.access import check_cache
from webhook.request.model_request import ModelRequest
from webhook.settings.access import Requester
from webhook.settings.model import Settings
from webhook.uri import ClaimPath, check, is_claim, parse_claim

NONE = "none"
ALL_NAMESPACES = "*"
_DIRECT, _COPY = "direct", "copy"


def is_copied(request: ModelRequest) -> bool:
    """Whether the pod gets a copy of the model in the cache. Raises Denied when the annotation is invalid."""
    mode = request.annotations.get(keys.CACHE_MOUNT, _DIRECT)
    if mode not in (_DIRECT, _COPY):
        raise Denied(f"annotation {keys.CACHE_MOUNT} {quoted(mode)} is invalid: use {_DIRECT} or {_COPY}")
    return mode == _COPY


def shared_cache(request: ModelRequest, settings: Settings) -> ClaimPath | None:
    """The claim and directory of the shared cache; None when each pod downloads its own copy.

    Raises Denied when the annotation is invalid or contradicts another, Forbidden when the settings do not allow it.
    """
    text = request.annotations.get(keys.CACHE)
    if text is None:
        return _default(request, settings)
    if text.strip() == NONE or not _downloads_one(request):
        return None
    origin = f"annotation {keys.CACHE}"
    if not is_claim(uri := check(text, origin)):
        raise Denied(f'{origin} must name a claim, such as "pvc://models/cache", or be "{NONE}"')
    if not request.read_only and not is_copied(request):
        raise Denied(
            f"{origin} cannot be combined with a model that is not read-only, because other pods mount the same copy: "
            f"remove it, or annotation {keys.READ_ONLY}, or set annotation {keys.CACHE_MOUNT} to {_COPY}"
        )
    cache = parse_claim(uri, origin)
    check_cache(Requester(request.namespace, request.service_account), cache, settings)
    return cache


def cache_claim(request: ModelRequest, settings: Settings) -> str | None:
    """The name of the claim; None when there is none, or the annotation is invalid (a step denies the pod)."""
    try:
        cache = shared_cache(request, settings)
    except Denied:
        return None
    return cache.claim if cache else None


def has_no_effect(request: ModelRequest) -> bool:
    """Whether the pod names a cache but downloads nothing that can be shared."""
    return request.annotations.get(keys.CACHE, NONE).strip() != NONE and not _downloads_one(request)


def _default(request: ModelRequest, settings: Settings) -> ClaimPath | None:
    defaults = settings.storage_defaults.cache
    uri = defaults.get(request.namespace, defaults.get(ALL_NAMESPACES, ""))
    # A pod that requests a writable model gets its own copy.
    may_share = request.read_only or is_copied(request)
    if not uri or not may_share or not _downloads_one(request):
        return None
    return parse_claim(uri, "setting storageDefaults.cache")


def _downloads_one(request: ModelRequest) -> bool:
    return not request.several and any(source.claim is None for source in request.downloaded)
