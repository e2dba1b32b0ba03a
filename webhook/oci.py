"""What an `oci://` URI asks for: an image that holds the model in its directory /models, and how it arrives."""

from __future__ import annotations

import re
from typing import NamedTuple, cast, get_args

from webhook.errors import Denied, Forbidden, shown
from webhook.settings.formats import IMAGE_REFERENCE
from webhook.settings.model import OciMode, StorageInitializer

MODES: tuple[str, ...] = get_args(OciMode)
MODELCAR = "modelcar"

_URI = re.compile(r"oci(?:\+([^:/]*))?://(.*)")

_REFERENCE = re.compile(IMAGE_REFERENCE, re.ASCII)


class Image(NamedTuple):
    """An image with a model in it, and how the model arrives."""

    reference: str
    mode: OciMode

    @property
    def uri(self) -> str:
        """The URI without a mode, as the initializer takes it."""
        return f"oci://{self.reference}"


def numbered(name: str, index: int) -> str:
    """The name of the first, second, … modelcar's container or volume: `modelcar`, `modelcar-1`, … (as in KServe)."""
    return f"{name}-{index}" if index else name


def read(uri: str, origin: str, settings: StorageInitializer) -> Image | None:
    """The image that a URI names; None when it names none, or when it is a bare `oci://` and OCI is off.

    A suffix (`oci+native://`) says how the model arrives; without one it is as the settings say.
    Raises Denied for a suffix that does not exist or a reference that is none, Forbidden for a suffix while OCI is off.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    suffix, reference = match.groups()
    if suffix is not None and suffix not in MODES:
        known = ", ".join(f"oci+{mode}://" for mode in MODES)
        raise Denied(f"{origin} {shown(uri)}: {shown('oci+' + suffix)} is not known: write oci:// or one of {known}")
    mode = cast(OciMode | None, suffix or settings.oci_mode)
    if settings.oci_mode is None or mode is None:
        if suffix is None:
            return None
        raise Forbidden(
            f"{origin} {shown(uri)}: OCI models are off; the administrator turns them on with the setting "
            "storageInitializer.enableOciModelSupport"
        )
    if not _REFERENCE.fullmatch(reference):
        raise Denied(
            f"{origin} {shown(uri)}: {shown(reference)} is not an image reference: "
            "write one such as oci://registry.example.com/models/iris:1.0"
        )
    return Image(reference, mode)
