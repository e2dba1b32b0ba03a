"""The state of one server, shared by its routes, its connections and its metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.cluster.facts import FactSource, NoCluster
from webhook.metrics import Metrics
from webhook.settings.source import SettingsSource

if TYPE_CHECKING:
    from webhook.server.events import RejectionEvents


@dataclass(slots=True)
class Webhook:
    """The settings, facts and counters of one server, and its state."""

    settings: SettingsSource
    facts: FactSource = field(default_factory=NoCluster)
    metrics: Metrics = field(default_factory=Metrics)
    events: RejectionEvents | None = None
    """Records Events for rejected pods; None: off."""
    client_certificates: bool = False
    """The mutating routes require a client certificate of the trusted CA."""
    uninjected: int | None = None
    """Pods that requested a model but were not injected, at the last audit; None before the first."""
    max_in_flight: int = 1000
    """Requests that may be in flight at once; more are answered with 503."""
    in_flight: int = 0
    receiving: int = 0
    """Bytes received of bodies that are not complete yet."""
    draining: bool = False
    """The server is about to stop: it is not ready, and every response closes its connection."""
