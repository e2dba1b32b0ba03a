"""What one server is bound to: shared by its routes, its connections and its metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.facts import FactSource, NoCluster
from webhook.metrics import Metrics
from webhook.settings.source import SettingsSource

if TYPE_CHECKING:
    from webhook.events import RefusalEvents


@dataclass(slots=True)
class Webhook:
    """The settings, facts and counters of one server, and the state it is in."""

    settings: SettingsSource
    facts: FactSource = field(default_factory=NoCluster)
    metrics: Metrics = field(default_factory=Metrics)
    events: RefusalEvents | None = None
    """Where refusals are told; None when they are not."""
    client_certificates: bool = False
    """Only clients with a certificate of the trusted CA get to the mutating routes."""
    slipped: int | None = None
    """Pods that asked and were not injected, at the last audit; None before the first."""
    max_in_flight: int = 1000
    """Requests that may be in work at once; more are answered with 503."""
    in_flight: int = 0
    receiving: int = 0
    """Bytes of bodies that are on their way in, in pieces."""
    draining: bool = False
    """The server is about to stop: not ready any more, and every answer closes its connection."""
