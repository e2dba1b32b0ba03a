"""The Prometheus metrics of one server, in a registry of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram

# Seconds. A cached response takes a tenth of a millisecond; the API server gives up after its timeout.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        admissions = Counter(
            "storage_webhook_admissions",
            "Admission requests, by outcome, reason, and kind of source (`several`: more than one kind).",
            ("outcome", "reason", "sources"),
            registry=self.registry,
        )
        self._cached_responses = Counter(
            "storage_webhook_cached_responses",
            "Admission requests that were answered from the response cache.",
            registry=self.registry,
        )
        self._duration = Histogram(
            "storage_webhook_admission_duration_seconds",
            "Time from the complete body to the complete response.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._differences = Counter(
            "storage_webhook_observed_differences",
            "Observe mode: pods that arrived with their model, by the field that enforce mode would make differently.",
            ("place",),
            registry=self.registry,
        )
        self._rejected_requests = Counter(
            "storage_webhook_rejected_requests",
            "HTTP requests that were not admission requests, by status code.",
            ("code",),
            registry=self.registry,
        )
        self._evicted_connections = Counter(
            "storage_webhook_evicted_connections",
            "Connections that were closed because too many were open.",
            registry=self.registry,
        )
        lookups = Counter(
            "storage_webhook_lookups",
            "Lookups of facts for downloads, by result: `cached`, `read` from the API server, or `failed`.",
            ("result",),
            registry=self.registry,
        )
        reads = Counter(
            "storage_webhook_api_reads", "Objects read from the API server, by kind.", ("kind",), registry=self.registry
        )
        self._lookup = lru_cache(maxsize=8)(lookups.labels)
        self._read = lru_cache(maxsize=8)(reads.labels)
        # There are few label values, and every request looks some up.
        self._admission = lru_cache(maxsize=512)(admissions.labels)

    def on_admission(  # noqa: PLR0913
        self,
        outcome: str,
        reason: str,
        sources: Sequence[str],
        seconds: float,
        *,
        differences: Sequence[str] = (),
        cached: bool = False,
    ) -> None:
        """Count one admission request; `seconds` it took, `cached`: the response came from the cache."""
        # A pod's author chooses the combination of kinds, and there are too many for labels.
        kind = "several" if len(sources) > 1 else "".join(sources)
        self._admission(outcome, reason, kind).inc()
        self._duration.observe(seconds)
        if cached:
            self._cached_responses.inc()
        if reason == "differs":
            for place in differences:
                self._differences.labels(place).inc()

    def on_rejected_request(self, code: int) -> None:
        """Count one HTTP request that was answered with an error."""
        self._rejected_requests.labels(str(code)).inc()

    def on_evicted_connection(self) -> None:
        """Count one connection that was closed because too many were open."""
        self._evicted_connections.inc()

    def on_lookup(self, result: str) -> None:
        """Count one lookup: `cached`, `read` or `failed`."""
        self._lookup(result).inc()

    def on_read(self, kind: str) -> None:
        """Count one read of an object of this kind."""
        self._read(kind).inc()
