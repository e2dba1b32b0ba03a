"""What the settings allow a pod to do with the claims and models that its annotations request."""

from __future__ import annotations

from collections.abc import Mapping

from webhook import annotations as keys
from webhook.errors import Forbidden, quoted
from webhook.request.model_request import Source
from webhook.settings.access import ALLOW_READ_WRITE, Permission, Requester
from webhook.settings.model import Settings
from webhook.uri import ClaimPath


def read_read_only(
    annotations: Mapping[str, str],
    requester: Requester,
    sources: tuple[Source, ...],
    settings: Settings,
    warnings: list[str],
) -> bool:
    """Whether the models are mounted read-only.

    Raises Forbidden when the settings do not allow to read a claim, or to write as the annotation requests.
    """
    defaults = settings.storage_defaults
    text = annotations.get(keys.READ_ONLY)
    writes = not defaults.read_only if text is None else text.strip().lower() == "false"
    if text is not None and text.strip().lower() not in ("true", "false"):
        warnings.append(
            f"annotation {keys.READ_ONLY} {quoted(text)} is neither true nor false: the model is mounted read-only"
        )
    if not writes and defaults.access is None:
        return True
    may_write = True
    for source in sources or (None,):
        claim = source.claim if source else None
        found = defaults.permission(requester, claim)
        if found.allow == "none" and claim:
            raise Forbidden(
                f"{_subject(requester)} may not use {_place(claim)} ({found.setting}): request another model, or ask "
                "the administrator"
            )
        if found.allow != "readWrite":
            may_write = False
            if writes and text is not None:
                raise _not_writable(requester, claim, found)
    return not (writes and may_write)


def check_cache(requester: Requester, cache: ClaimPath, settings: Settings) -> None:
    """Raise Forbidden when pods may not write to this directory of a shared cache, as `storageDefaults.access` says."""
    if settings.storage_defaults.access is None:
        return
    found = settings.storage_defaults.permission(requester, cache)
    if found.allow != "readWrite":
        raise Forbidden(
            f"annotation {keys.CACHE}: {_subject(requester)} may not write to {_place(cache)} "
            f"({found.setting}), and a shared cache is written: remove the annotation, or ask the administrator"
        )


def _not_writable(requester: Requester, claim: ClaimPath | None, found: Permission) -> Forbidden:
    if found.setting == ALLOW_READ_WRITE:
        return Forbidden(
            f'annotation {keys.READ_ONLY} "false" is not allowed in namespace {quoted(requester.namespace)}: remove it '
            f"to mount the model read-only, or ask the administrator about the setting {ALLOW_READ_WRITE}"
        )
    what = f"to write to {_place(claim)}" if claim else "to write to the model"
    return Forbidden(
        f'annotation {keys.READ_ONLY} "false": {_subject(requester)} is not allowed {what} '
        f"({found.setting}): remove the annotation to mount the model read-only, or ask the administrator"
    )


def _subject(requester: Requester) -> str:
    return f"service account {quoted(requester.service_account)} in namespace {quoted(requester.namespace)}"


def _place(claim: ClaimPath) -> str:
    return f"path {quoted(claim.path)} of claim {quoted(claim.claim)}" if claim.path else f"claim {quoted(claim.claim)}"
