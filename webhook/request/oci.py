"""`oci://` URIs: images that contain the model in their directory /models, and the mode of delivery."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, cast, get_args

from webhook.errors import Denied, Forbidden, quoted
from webhook.settings.formats import IMAGE_REFERENCE
from webhook.settings.kserve_keys import OciMode, StorageInitializer

MODES: tuple[str, ...] = get_args(OciMode)
MODELCAR = "modelcar"

_URI = re.compile(r"oci(?:\+([^:/]*))?://(.*)")

# Without -n, a container that restarts links inside the directory that the old link leads to, and fails.
_LINK = "ln -sfn /proc/$$$$/root/models"
_KSERVE_LINK = "ln -sf /proc/$$$$/root/models"
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


def has_modelcar_name(container: Mapping[str, Any]) -> bool:
    """Whether a container has the name of a modelcar, or of the init container that checks its image."""
    return str(container["name"]).partition("-")[0] == MODELCAR


def link_script(path: str) -> str:
    """The shell script of a modelcar: it links the image's models to `path` and keeps running.

    Kubernetes expands $$$$ in args to $$, the shell's process id. A $ in the path is escaped the same way.
    """
    return f"{_LINK} {shlex.quote(path).replace('$', '$$')} && sleep infinity"


def is_modelcar(container: Mapping[str, Any], path: str) -> bool:
    """Whether a container is a modelcar for `path`, added by this webhook or by KServe's.

    Recognized by its script and not by its image, which policies pin to a digest or move to a mirror.
    """
    return modelcar_script(container).startswith(link_starts(path))


def modelcar_script(container: Mapping[str, Any]) -> str:
    """The script of a container that may be a modelcar; "" of any other."""
    args = container.get("args")
    if not isinstance(args, list) or len(args) != 3 or args[:2] != ["sh", "-c"] or not isinstance(args[2], str):
        return ""
    return args[2] if args[2].startswith((_LINK, _KSERVE_LINK)) else ""


def link_starts(path: str) -> tuple[str, ...]:
    """How the script of a modelcar for `path` starts: this webhook's, and KServe's, which quotes nothing."""
    quoted_path = shlex.quote(path).replace("$", "$$")
    return f"{_LINK} {quoted_path} ", f"{_KSERVE_LINK} {quoted_path} ", f"{_KSERVE_LINK} {path} "


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
