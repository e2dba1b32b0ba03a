"""Archives in mounted claims: a mount does not unpack them, so servers find a file where they expect the model."""

from __future__ import annotations

from webhook.annotations import PATH_TYPE, PVC_MOUNT
from webhook.errors import quoted
from webhook.pod.pod import PodDraft
from webhook.settings.formats import ARCHIVES
from webhook.steps.inputs import Inputs

# KServe's storage initializer unpacks what Python's module `mimetypes` takes for a tar or zip file.
_UNPACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")


def warn_about_archives(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about each archive that is mounted from a claim, unless the pod says that it is a file or a directory."""
    request = inputs.request
    if request.annotations.get(PATH_TYPE, "auto") != "auto":
        return
    for source in request.mounted:
        if source.claim and not source.claim.is_directory and _is_archive(source.claim.file_name):
            pod.warnings.append(_warning(source.claim.file_name, several=request.several))


def _is_archive(file_name: str) -> bool:
    _, dot, extension = file_name.lower().rpartition(".")
    return dot + extension in ARCHIVES


def _warning(file_name: str, *, several: bool) -> str:
    # Several claims are always mounted.
    is_unpacked = not several and file_name.lower().endswith(_UNPACKED)
    remedy = f"set annotation {PVC_MOUNT} to copy to unpack it" if is_unpacked else "unpack it in the claim"
    return (
        f"{quoted(file_name)} is an archive, which a mount does not unpack: {remedy}; to mount the archive itself, set "
        f"annotation {PATH_TYPE} to file"
    )
