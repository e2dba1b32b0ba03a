"""Storage containers of the settings: key `storageContainers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field, model_validator

from webhook.settings.container_format import Container, Volume
from webhook.settings.formats import NamespacePattern, RequiredName
from webhook.settings.group import SettingsGroup
from webhook.storage_container import StorageContainer, UriFormat, compiled
from webhook.variables import is_secret

MAX_REGEXES = 100
"""The maximum number of regexes in all storage containers of the settings. Each may cost a millisecond."""


MAX_REGEX = 512
"""The maximum length of a regex, or of a prefix, in characters."""


class UriFormatSettings(SettingsGroup):
    """A format of URIs: a prefix, or a regex."""

    prefix: str = Field("", max_length=MAX_REGEX, description="The beginning of URIs, such as `git://`.")
    regex: str = Field("", max_length=MAX_REGEX, description="Instead: an RE2 pattern that is searched in the URI.")

    @model_validator(mode="after")
    def _is_one(self) -> UriFormatSettings:
        if bool(self.prefix) == bool(self.regex):
            raise ValueError("must have either a prefix or a regex")
        return self


class StorageContainerSettings(SettingsGroup):
    """Key `storageContainers`: a list of init containers for some URIs, as ClusterStorageContainers without KServe."""

    key: ClassVar[str] = "storageContainers"

    name: RequiredName = Field(description="A name, for messages.")
    namespaces: tuple[NamespacePattern, ...] = Field(
        (), description="Patterns (`*`, `?`) of the namespaces whose pods use it. None: all."
    )
    supported_uri_formats: tuple[UriFormatSettings, ...] | None = Field(
        None, description="The URIs that it is for. None: every URI."
    )
    container: Container = Field(
        description="What is changed in the init container: `image`, `imagePullPolicy`, `command`, `env`, `envFrom`, "
        "`volumeMounts`, `resources`, `securityContext` and others, as in a container of Kubernetes.",
    )
    volumes: tuple[Volume, ...] = Field(
        (),
        description="The volumes that it mounts, as in a pod: `secret`, `configMap`, `persistentVolumeClaim`, "
        "`emptyDir` or `csi`.",
    )
    supports_multi_model_download: bool | None = Field(
        None,
        description="`true`: it downloads several models in one run. None: if it has neither `image` nor `command`.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> StorageContainerSettings:
        if not self.container:
            raise ValueError("container is empty: set the fields of the init container to change")
        if self.supported_uri_formats == ():
            raise ValueError("supportedUriFormats is empty: leave it out for every URI")
        mounted = {each["name"] for each in self.container.get("volumeMounts", ())}
        names = [each["name"] for each in self.volumes]
        if repeated := _repeated(names):
            raise ValueError(f"volumes has the name {repeated} twice")
        if missing := sorted(mounted - set(names)):
            raise ValueError(f"container.volumeMounts names the volume {missing[0]}, which is not in volumes")
        if unused := sorted(set(names) - mounted):
            raise ValueError(f"volumes has {unused[0]}, which container.volumeMounts does not mount")
        return self

    @property
    def storage_container(self) -> StorageContainer:
        """The same as steps use it."""
        has_own_program = bool(self.container.get("image") or self.container.get("command"))
        several = self.supports_multi_model_download
        return StorageContainer(
            self.name,
            self.container,
            tuple(UriFormat(each.prefix, each.regex) for each in self.supported_uri_formats or ()),
            several=not has_own_program if several is None else several,
            of_settings=True,
            any_uri=self.supported_uri_formats is None,
            namespaces=self.namespaces,
            volumes=self.volumes,
        )


def check_together(containers: Iterable[StorageContainerSettings]) -> None:
    """Raise ValueError when two have the same name, or there are too many regexes, or an invalid one."""
    containers = tuple(containers)
    if repeated := _repeated([each.name for each in containers]):
        raise ValueError(f"has the name {repeated} twice")
    regexes = {each.regex for one in containers for each in one.supported_uri_formats or () if each.regex}
    if len(regexes) > MAX_REGEXES:
        raise ValueError(f"has {len(regexes)} regexes: the maximum is {MAX_REGEXES}; use prefixes")
    for regex in sorted(regexes):
        try:
            compiled(regex)
        except ValueError as error:
            raise ValueError(f"supportedUriFormats has {error}") from None


def literal_secrets(container: Container) -> list[str]:
    """The variables of a container whose names stand for a secret, and whose values are text."""
    return [each["name"] for each in container.get("env", ()) if each.get("value") and is_secret(each["name"])]


def never_used(containers: tuple[StorageContainerSettings, ...]) -> str:
    """The name of the first storage container that is never used, because one before it is for every pod; or ""."""
    everything = [not each.namespaces and each.supported_uri_formats is None for each in containers]
    after = everything.index(True) + 1 if any(everything) else len(containers)
    return containers[after].name if after < len(containers) else ""


def _repeated(names: list[str]) -> str:
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if times > 1 else ""
