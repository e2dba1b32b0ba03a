"""Metrics of the server's state, collected on each scrape: they cost a request nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from webhook.server.context import Webhook
from webhook.version import version


class StateCollector(Collector):
    """Settings, certificate, requests in flight, and the build."""

    def __init__(self, webhook: Webhook, expires: Callable[[], float]) -> None:
        """`expires` returns the end of the served certificate's validity, in seconds since 1970; 0: not known."""
        self._webhook = webhook
        self._expires = expires

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._settings()
        webhook = self._webhook
        yield _gauge("in_flight_requests", "Requests in flight.", webhook.in_flight)
        yield _gauge("draining", "1 when the server is about to stop.", webhook.draining)
        if expires := self._expires():
            yield _gauge("certificate_expiry_timestamp_seconds", "When the served certificate expires.", expires)
        if webhook.events is not None:
            yield _counter("events_dropped", "Events that could not be recorded.", webhook.events.dropped)
        if webhook.uninjected is not None:
            yield _gauge("uninjected_pods", "Pods that requested a model but were not injected.", webhook.uninjected)
        yield InfoMetricFamily("storage_webhook_build", "The running version.", {"version": version()})

    def _settings(self) -> Iterator[Metric]:
        source = self._webhook.settings
        live = source.current
        yield _gauge(
            "settings_generation", "Settings loaded since the start; 0: none yet.", live.generation if live else 0
        )
        yield _gauge("settings_rejected", "1 when newer settings were rejected.", source.rejected is not None)
        yield _gauge(
            "settings_watch_failed", "1 when changes of the settings cannot be seen.", source.watch_error is not None
        )
        yield _counter("settings_reloads", "Settings that took effect.", source.reloads)
        yield _counter("settings_rejections", "Settings that were rejected.", source.rejections)
        yield _counter("settings_warnings", "Warnings in settings that took effect.", source.warnings)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"storage_webhook_{name}", documentation, value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"storage_webhook_{name}", documentation, value)
