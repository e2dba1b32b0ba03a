"""Variables and volumes that a Secret adds to the init container."""

from __future__ import annotations

from typing import NamedTuple

from webhook.pod.pod import JsonObject, PodDraft, mount


class Credential(NamedTuple):
    """Environment variables, and the Secret as a volume if it provides files."""

    variables: tuple[JsonObject, ...] = ()
    volume: JsonObject | None = None
    mount_path: str = ""

    def add_to(self, pod: PodDraft, container: JsonObject) -> None:
        """Add the credential to the container. Raises Denied when the volume's name or mount path is in use."""
        if self.volume is not None:
            pod.ensure_volume(self.volume)
            pod.ensure_mount(container, mount(self.volume["name"], self.mount_path, read_only=True))
        pod.set_env(container, *self.variables)


def secret_volume(name: str, secret: str) -> JsonObject:
    """A volume with all keys of a Secret as files."""
    return {"name": name, "secret": {"secretName": secret}}
