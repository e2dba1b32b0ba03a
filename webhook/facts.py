"""All that a step may know of the cluster: frozen, and without a single secret value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from webhook.request import ModelRequest
    from webhook.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Facts:
    """What was looked up for one request; empty when nothing was (embedded and file settings, PVC-only pods)."""


NO_FACTS = Facts()


class FactSource(Protocol):
    """Where facts come from: a cluster, a file, or nowhere."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        """The facts of a request without any I/O; None when they must be looked up."""

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request, read from the cluster where they are not cached.

        Raises LookupFailed when the cluster does not answer, Denied when what the pod names does not exist.
        """


class NoCluster:
    """Facts of a webhook without a cluster: none."""

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return NO_FACTS

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        return NO_FACTS
