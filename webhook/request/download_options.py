"""What a pod requests of its download: supervision and time-outs, digests, and patterns of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from webhook import annotations as keys
from webhook import duration
from webhook.errors import Denied, Forbidden, quoted
from webhook.request.model_request import ModelRequest, Source
from webhook.settings.model import Settings
from webhook.settings.storage_defaults import StorageDefaults

MAX_PATTERNS = 100
"""The maximum number of patterns of an annotation."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_PINNED = re.compile(r"@sha256:[0-9a-f]{64}")
_MAX_PATTERN = 256


class DownloadOptions(NamedTuple):
    """How a download is watched. Times in seconds."""

    supervise: bool
    timeout: int
    stall_timeout: int


def read_download_options(annotations: Mapping[str, str], settings: Settings) -> DownloadOptions:
    """The options of the annotations, else of the settings. A time-out asks for supervision.

    Raises Denied when an annotation is invalid.
    """
    defaults = settings.storage_defaults.download
    has_limit = keys.DOWNLOAD_TIMEOUT in annotations or keys.STALL_TIMEOUT in annotations
    return DownloadOptions(
        _read_bool(annotations, keys.SUPERVISE, default=defaults.supervise or has_limit),
        _read_seconds(annotations, keys.DOWNLOAD_TIMEOUT, defaults.timeout),
        _read_seconds(annotations, keys.STALL_TIMEOUT, defaults.stall_timeout),
    )


def _read_bool(annotations: Mapping[str, str], key: str, *, default: bool) -> bool:
    text = annotations.get(key)
    if text is None:
        return default
    if text.strip().lower() not in ("true", "false"):
        raise Denied(f"annotation {key} {quoted(text)} is invalid: use true or false")
    return text.strip().lower() == "true"


def _read_seconds(annotations: Mapping[str, str], key: str, default: str) -> int:
    text = annotations.get(key)
    if text is None:
        return duration.seconds(default)
    try:
        return duration.seconds(text)
    except ValueError:
        raise Denied(
            f"annotation {key} {quoted(text)} is not a duration: use a value such as {duration.EXAMPLES}"
        ) from None


def parse_digest(text: str, origin: str) -> str:
    """A SHA-256 as lower-case digits. Raises Denied when it is none."""
    if not _DIGEST.fullmatch(text.strip()):
        raise Denied(
            f"{origin}: {quoted(text)} is not a SHA-256 of 64 hexadecimal digits: `storage-webhook digest` prints it"
        )
    return text.strip().lower()


def check_digests(sources: Iterable[Source], namespace: str, defaults: StorageDefaults) -> None:
    """Raise Denied when a digest cannot be checked, Forbidden when the settings require one that is missing."""
    required = is_digest_required(namespace, defaults)
    for source in sources:
        if source.sha256 and source.is_image("modelcar", "native"):
            raise Denied(
                f"{source.origin}: the SHA-256 of an image that is not downloaded cannot be checked: remove it, and "
                "name the image by its digest, as in oci://registry/image@sha256:…"
            )
        if required and not source.sha256 and not (source.image and _PINNED.search(source.image.reference)):
            raise missing_digest(source.origin, namespace)


def is_digest_required(namespace: str, defaults: StorageDefaults) -> bool:
    """Whether the settings require a digest for each model in this namespace."""
    required = defaults.require_digest
    return required if isinstance(required, bool) else namespace in required


def missing_digest(origin: str, namespace: str) -> Forbidden:
    """The denial of a model without a digest."""
    return Forbidden(
        f"{origin}: a model in namespace {quoted(namespace)} needs a digest: set annotation {keys.SHA256} (or "
        '"sha256" of the entry) to what `storage-webhook digest` prints, or name an image by its digest'
    )


def read_patterns(request: ModelRequest, key: str) -> list[str]:
    """The patterns of an annotation: a JSON list, or separated by commas. Raises Denied when it is invalid."""
    text = request.annotations.get(key)
    if text is None:
        return []
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
    except (ValueError, RecursionError):
        found = None
    patterns = [each.strip() for each in found if isinstance(each, str) and each.strip()] if found else []
    if (
        not found
        or len(patterns) != len(found)
        or len(patterns) > MAX_PATTERNS
        or max(map(len, patterns)) > _MAX_PATTERN
    ):
        raise Denied(
            f"annotation {key} {quoted(text)} is invalid: use 1 to {MAX_PATTERNS} patterns of at most {_MAX_PATTERN} "
            'characters, such as "*.safetensors,*.json"'
        )
    return patterns
