"""Directories that the download program empties: those of models with a digest, and of copies from a shared cache."""

from __future__ import annotations

from collections.abc import Iterable

from webhook.annotations import MOUNT_PATH
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, normal_path


def check_emptied(container: JsonObject, directories: Iterable[str]) -> None:
    """Raise Denied when the init container mounts a volume inside one of these directories: its files would be deleted.

    An example is a model of a claim at `/mnt`, while the claim is mounted at `/mnt/pvc`.
    """
    prefixes = [f"{directory}/" for directory in directories]
    for mount in container.get("volumeMounts") or ():
        for prefix in prefixes:
            if normal_path(mount.get("mountPath")).startswith(prefix):
                raise Denied(
                    f"mount path {quoted(prefix[:-1])} of the model is emptied before the download, and contains the "
                    f"mount path {quoted(mount['mountPath'])} of volume {quoted(mount['name'])}: choose another one "
                    f"with annotation {MOUNT_PATH}"
                )
