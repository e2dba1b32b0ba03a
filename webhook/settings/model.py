"""All settings of the webhook, validated, so steps do not validate them again."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from webhook.settings.group import SettingsGroup
from webhook.settings.kserve_keys import Credentials, Deploy, StorageInitializer
from webhook.settings.storage_containers import StorageContainerSettings
from webhook.settings.storage_defaults import StorageDefaults
from webhook.storage_container import StorageContainer


class Settings(SettingsGroup):
    """All settings. Immutable: a request uses one snapshot throughout."""

    storage_initializer: StorageInitializer = StorageInitializer.model_construct()
    credentials: Credentials = Credentials.model_construct()
    deploy: Deploy = Deploy.model_construct()
    storage_defaults: StorageDefaults = StorageDefaults.model_construct()
    storage_container_settings: tuple[StorageContainerSettings, ...] = Field((), alias="storageContainers")

    @cached_property
    def storage_containers(self) -> tuple[StorageContainer, ...]:
        """The storage containers, in the order in which they are tried."""
        return tuple(each.storage_container for each in self.storage_container_settings)

    @property
    def observing(self) -> bool:
        """Whether the mode is `observe`: pods are never changed or denied."""
        return self.storage_defaults.mode == "observe"

    @property
    def enforced(self) -> Settings:
        """The same settings in mode `enforce`."""
        if not self.observing:
            return self
        return self.model_copy(
            update={"storage_defaults": self.storage_defaults.model_copy(update={"mode": "enforce"})}
        )


INITIALIZER_IMAGE = "kserve/storage-initializer:v0.21.0"

EMBEDDED = Settings.model_construct(
    storage_initializer=StorageInitializer.model_construct(
        image=INITIALIZER_IMAGE, enable_modelcar=True, uid_modelcar=1010
    )
)
"""The settings without a ConfigMap: what KServe ships in its own ConfigMap. The image is pinned."""
