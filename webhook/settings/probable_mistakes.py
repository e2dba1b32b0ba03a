"""Valid settings that are probably mistakes."""

from __future__ import annotations

from collections.abc import Iterator

from webhook import quantity
from webhook.errors import quoted
from webhook.settings.formats import is_absolute_path
from webhook.settings.model import Settings
from webhook.settings.storage_containers import StorageContainerSettings, literal_secrets, never_used

Mistake = tuple[str, str]
"""A key of the settings, and what is questionable about its value."""


def probable_mistakes(settings: Settings) -> Iterator[Mistake]:
    """The keys whose values KServe or Kubernetes accepts, and that probably mean something else."""
    yield from _fractions_of_bytes(settings)
    yield from _unusable_ca_bundle(settings)
    yield from _unused_empty_dir(settings)
    yield from _storage_containers(settings)


def _fractions_of_bytes(settings: Settings) -> Iterator[Mistake]:
    initializer = settings.storage_initializer
    for name, value in (
        ("memoryRequest", initializer.memory_request),
        ("memoryLimit", initializer.memory_limit),
        ("memoryModelcar", initializer.memory_modelcar),
    ):
        if quantity.parse(value) % 1:
            yield f"{initializer.key}.{name}", f"{value} is a fraction of a byte: `m` means milli; use `M` or `Mi`"


def _unusable_ca_bundle(settings: Settings) -> Iterator[Mistake]:
    credentials = settings.credentials
    file = credentials.s3.s3_ca_bundle
    if file and not is_absolute_path(file):
        yield (
            f"{credentials.key}.s3.s3CABundle",
            f"{quoted(file)} is not an absolute path, and no certificates are found there: use one, such as "
            "/etc/s3/ca.crt",
        )


def _unused_empty_dir(settings: Settings) -> Iterator[Mistake]:
    defaults = settings.storage_defaults
    if defaults.download_volume.ephemeral and (defaults.empty_dir.medium or defaults.empty_dir.size_limit is not None):
        yield f"{defaults.key}.emptyDir", "has no effect beside downloadVolume.ephemeral: remove one of them"


def _storage_containers(settings: Settings) -> Iterator[Mistake]:
    key, containers = StorageContainerSettings.key, settings.storage_container_settings
    for number, each in enumerate(containers):
        for name in literal_secrets(each.container):
            yield f"{key}.{number}.container.env", f"{name} is text that all can read in pods: use valueFrom"
    if unused := never_used(containers):
        yield key, f"{quoted(unused)} is never used: one before it is for all namespaces and every URI"
