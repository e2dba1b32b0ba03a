"""What is counted: Prometheus metrics of one server, in a registry of their own."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from webhook.admission import Outcome

# Seconds. An answer from memory takes a tenth of a millisecond; the API server gives up after its timeout.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._admissions = Counter(
            "storage_webhook_admissions",
            "Admission requests, by what became of them, why, and the kind of their sources (`several`: more kinds).",
            ("outcome", "reason", "sources"),
            registry=self.registry,
        )
        self._remembered = Counter(
            "storage_webhook_remembered_answers",
            "Admission requests that were answered like one before that differed in nothing but made-up names.",
            registry=self.registry,
        )
        self._duration = Histogram(
            "storage_webhook_admission_duration_seconds",
            "Time from the whole body received to the answer made.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._differences = Counter(
            "storage_webhook_observed_differences",
            "Observe mode: pods that came with their model, by where they are not as they would be made.",
            ("place",),
            registry=self.registry,
        )
        self._rejected = Counter(
            "storage_webhook_rejected_requests",
            "HTTP requests that were no admission requests, by status code.",
            ("code",),
            registry=self.registry,
        )
        self._turned_out = Counter(
            "storage_webhook_turned_out_connections",
            "Connections that were closed because there were too many: strangers first, then who was silent longest.",
            registry=self.registry,
        )
        lookups = Counter(
            "storage_webhook_lookups",
            "Lookups of what a download needs to know of the cluster: answered from memory, by the cluster, or failed.",
            ("answer",),
            registry=self.registry,
        )
        reads = Counter(
            "storage_webhook_api_reads", "Objects read from the API server, by kind.", ("kind",), registry=self.registry
        )
        self._lookup = lru_cache(maxsize=8)(lookups.labels)
        self._read = lru_cache(maxsize=8)(reads.labels)
        # Labels are few and looked up on every request.
        self._admission = lru_cache(maxsize=512)(self._admissions.labels)

    def admitted(self, outcome: Outcome, seconds: float, *, remembered: bool = False) -> None:
        """Count one admission request and the time it took; `remembered`: it was answered like one before."""
        # Combinations of kinds are without number, and a pod's author chooses them.
        sources = "several" if len(outcome.sources) > 1 else "".join(outcome.sources)
        self._admission(outcome.kind, outcome.reason, sources).inc()
        self._duration.observe(seconds)
        if remembered:
            self._remembered.inc()
        if outcome.reason == "differs":
            for place in outcome.differences:
                self._differences.labels(place).inc()

    def rejected(self, code: int) -> None:
        """Count one HTTP request that was answered with an error."""
        self._rejected.labels(str(code)).inc()

    def connection_turned_out(self) -> None:
        """Count one connection that was closed to make room."""
        self._turned_out.inc()

    def looked_up(self, answer: str) -> None:
        """Count one lookup: its answer came from `memory`, from the `cluster`, or `failed`."""
        self._lookup(answer).inc()

    def read(self, kind: str) -> None:
        """Count one read of an object of this kind."""
        self._read(kind).inc()
