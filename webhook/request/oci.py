"""`oci://` URIs: images that contain the model in their directory /models, and the mode of delivery."""

from __future__ import annotations

import re
from typing import NamedTuple, cast, get_args

from webhook.errors import Denied, Forbidden, quoted
from webhook.settings.formats import IMAGE_REFERENCE
from webhook.settings.model import OciMode, StorageInitializer

MODES: tuple[str, ...] = get_args(OciMode)
MODELCAR = "modelcar"

_URI = re.compile(r"oci(?:\+([^:/]*))?://(.*)")

_REFERENCE = re.compile(IMAGE_REFERENCE, re.ASCII)


class Image(NamedTuple):
    """An image that contains a model, and the mode of delivery."""

    reference: str
    mode: OciMode

    @property
    def uri(self) -> str:
        """The URI without a mode suffix, as the storage initializer expects it."""
        return f"oci://{self.reference}"


def numbered(name: str, index: int) -> str:
    """The name of a modelcar's container or volume: `modelcar`, `modelcar-1`, `modelcar-2`, … (as in KServe)."""
    return f"{name}-{index}" if index else name


def read(uri: str, origin: str, settings: StorageInitializer) -> Image | None:
    """The image that a URI names; None for other URIs, and for `oci://` without a suffix when OCI support is off.

    A suffix (`oci+native://`) selects the mode; the default is in the settings. Raises Denied for an unknown suffix
    or an invalid reference, Forbidden for a suffix when OCI support is off.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    suffix, reference = match.groups()
    if suffix is not None and suffix not in MODES:
        known = ", ".join(f"oci+{mode}://" for mode in MODES)
        raise Denied(
            f"{origin} {quoted(uri)}: {quoted('oci+' + suffix)} is not a known scheme: use oci:// or one of {known}"
        )
    mode = cast(OciMode | None, suffix or settings.oci_mode)
    if settings.oci_mode is None or mode is None:
        if suffix is None:
            return None
        raise Forbidden(
            f"{origin} {quoted(uri)}: OCI models are not enabled: ask the administrator to set "
            "storageInitializer.enableOciModelSupport"
        )
    if not _REFERENCE.fullmatch(reference):
        raise Denied(
            f"{origin} {quoted(uri)}: {quoted(reference)} is not an image reference: "
            "use a URI such as oci://registry.example.com/models/iris:1.0"
        )
    return Image(reference, mode)
