"""What a Secret adds to the init container."""

from __future__ import annotations

from typing import NamedTuple

from webhook.pod import JsonObject, PodDraft, mount


class Credential(NamedTuple):
    """Environment variables, and the Secret as a volume where files are needed."""

    variables: tuple[JsonObject, ...] = ()
    volume: JsonObject | None = None
    mount_path: str = ""

    def give(self, pod: PodDraft, container: JsonObject) -> None:
        """Add all to the container. Raises Denied when the volume's name or place is taken by something else."""
        if self.volume is not None:
            pod.ensure_volume(self.volume)
            pod.ensure_mount(container, mount(self.volume["name"], self.mount_path, read_only=True))
        pod.set_env(container, *self.variables)


def secret_volume(name: str, secret: str) -> JsonObject:
    """A volume with all of a Secret's keys as files."""
    return {"name": name, "secret": {"secretName": secret}}
