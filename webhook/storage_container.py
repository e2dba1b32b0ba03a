"""Storage containers: init containers that the administrator configures for some URIs.

They come from ClusterStorageContainers, an optional resource of KServe, and from the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from webhook.errors import Denied, quoted
from webhook.wildcard import matches

INIT_CONTAINER = "initContainer"

# The settings can be sent by anybody for validation, so a pattern must not cost milliseconds to compile.
_MAX_PATTERN_BYTES = 128 * 1024


class UriFormat(NamedTuple):
    """A format of URIs that a storage container supports: a prefix or, when that is empty, a regex to search."""

    prefix: str = ""
    regex: str = ""


class StorageContainer(NamedTuple):
    """A ClusterStorageContainer, or a storage container of the settings."""

    name: str
    container: Mapping[str, Any] = {}
    formats: tuple[UriFormat, ...] = ()
    workload_type: str = INIT_CONTAINER
    several: bool = False
    """It can download several models in one run (`supportsMultiModelDownload`)."""
    disabled: bool = False
    problem: str = ""
    """Why it cannot be used: what is wrong with its container; "" when nothing is."""
    of_settings: bool = False
    any_uri: bool = False
    """It is for every URI, whatever its format."""
    namespaces: tuple[str, ...] = ()
    """Patterns of the namespaces that it is for; all when empty."""
    volumes: tuple[Mapping[str, Any], ...] = ()
    """The volumes that its container mounts, for the pod's spec."""

    @property
    def title(self) -> str:
        """What it is, with its name, for messages."""
        if self.of_settings:
            return f"storage container {quoted(self.name)} of the settings"
        return f"ClusterStorageContainer {quoted(self.name)}"

    def is_for(self, namespace: str) -> bool:
        """Whether pods of the namespace may use it."""
        return not self.namespaces or matches(namespace, self.namespaces)

    def supports(self, uri: str) -> bool:
        """Whether the URI has one of its formats. Raises Denied when a format is invalid."""
        return self.any_uri or any(self._has_format(uri, each) for each in self.formats)

    def _has_format(self, uri: str, supported: UriFormat) -> bool:
        if supported.prefix:
            return uri.startswith(supported.prefix)
        if not supported.regex:
            return False
        try:
            return compiled(supported.regex).search(uri) is not None
        except ValueError as error:
            raise unusable(self, f"supportedUriFormats has {error}") from None


@lru_cache(maxsize=256)
def compiled(regex: str) -> Any:
    """The compiled pattern. RE2 has the syntax of Go regular expressions and matches in linear time.

    Raises ValueError when it is not a valid pattern, or too large.
    """
    # Imported late, because most commands do not need it.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_BYTES
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
    raise ValueError(f"the regex {quoted(regex)}, which is not a valid RE2 pattern: {reason}")


def unusable(found: StorageContainer, problem: str) -> Denied:
    """The denial of a pod whose storage container only the administrator can mend."""
    return Denied(f"{found.title} cannot be used, ask the administrator to fix it: {problem}")
