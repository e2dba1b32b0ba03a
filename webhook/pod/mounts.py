"""The volume mounts of a container, found by path without a search.

A pod may have 100 models in 20 containers of 250 mounts each, so a search of all mounts for each model costs seconds.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Any

from webhook.pod.draft import JsonObject
from webhook.pod.paths import normal_path

Identity = tuple[str, str, str, str]
"""Mount path, volume, subPath and subPathExpr, with normal paths."""


class Mounts:
    """The volume mounts and devices of a container by path; every path is normalized once.

    `items` is the container's list. All changes of paths in it go through this class.
    """

    def __init__(self, container: Mapping[str, Any]) -> None:
        items = container.get("volumeMounts")
        self.items: list[JsonObject] = [] if items is None else items
        self._at: dict[str, list[int]] = {}
        self._same: dict[Identity, list[int]] = {}
        for index, item in enumerate(self.items):
            self._add(index, identity(item))
        devices = container.get("volumeDevices") or ()
        self._devices = {normal_path(device.get("devicePath")): device for device in devices}

    def at(self, path: str) -> list[JsonObject]:
        """The mounts at a normal path, in order."""
        return [self.items[index] for index in self._at.get(path, ())]

    def find(self, same: Identity, paths: Iterable[str]) -> int | None:
        """The index of the first mount that is the same, or would be the same at another of the paths."""
        found = (self._same.get((normal_path(path), *same[1:])) for path in paths)
        return min((indexes[0] for indexes in found if indexes), default=None)

    def in_the_way(self, path: str, ignored: int | None) -> tuple[JsonObject, str] | None:
        """A mount or device at a normal path, and the path as it is written; not the mount at index `ignored`."""
        # Of two mounts at this path, one is not ignored.
        for index in self._at.get(path, ())[:2]:
            if index != ignored:
                return self.items[index], self.items[index]["mountPath"]
        device = self._devices.get(path)
        return (device, device["devicePath"]) if device else None

    def append(self, mount: JsonObject, same: Identity) -> None:
        """Add a mount at the end; `same` is its identity."""
        self._add(len(self.items), same)
        self.items.append(mount)

    def replace(self, index: int, mount: JsonObject) -> None:
        """Replace the mount at an index."""
        old = identity(self.items[index])
        self._at[old[0]].remove(index)
        self._same[old].remove(index)
        self.items[index] = mount
        self._add(index, identity(mount))

    def _add(self, index: int, same: Identity) -> None:
        insort(self._at.setdefault(same[0], []), index)
        insort(self._same.setdefault(same, []), index)


def identity(mount: Mapping[str, Any]) -> Identity:
    """What makes a mount the same as another: path, volume, and part of the volume."""
    path, sub_path, expression = mount.get("mountPath"), mount.get("subPath"), mount.get("subPathExpr")
    return (
        normal_path(path),
        mount["name"],
        normal_path(f"/{sub_path}") if sub_path else "",
        normal_path(f"/{expression}") if expression else "",
    )
