"""What state the server is in, read when Prometheus asks: nothing here costs a request anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from webhook.context import Webhook


class StateCollector(Collector):
    """Settings, certificate, requests in work, and the build."""

    def __init__(self, webhook: Webhook, expires: Callable[[], float]) -> None:
        """`expires` says until when the served certificate is valid, in seconds since 1970; 0 when not known."""
        self._webhook = webhook
        self._expires = expires

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._settings()
        webhook = self._webhook
        yield _gauge("in_flight_requests", "Requests that are in work.", webhook.in_flight)
        yield _gauge("draining", "1 when the server is about to stop.", webhook.draining)
        if expires := self._expires():
            yield _gauge("certificate_expiry_timestamp_seconds", "When the served certificate expires.", expires)
        if webhook.events is not None:
            yield _counter("events_dropped", "Events of refusals that could not be written.", webhook.events.dropped)
        if webhook.slipped is not None:
            yield _gauge("slipped_pods", "Pods that asked for a model and were admitted without it.", webhook.slipped)
        yield InfoMetricFamily("storage_webhook_build", "What is running.", {"version": _version()})

    def _settings(self) -> Iterator[Metric]:
        source = self._webhook.settings
        live = source.current
        yield _gauge(
            "settings_generation", "Settings taken since the start; 0: none yet.", live.generation if live else 0
        )
        yield _gauge("settings_refused", "1 when newer settings were refused.", source.refused is not None)
        yield _gauge("settings_trouble", "1 when changes of the settings cannot be seen.", source.trouble is not None)
        yield _counter("settings_reloads", "Settings that went live.", source.reloads)
        yield _counter("settings_refusals", "Settings that were refused.", source.refusals)
        yield _counter("settings_warnings", "Unknown keys in settings that went live.", source.warnings)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"storage_webhook_{name}", documentation, value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"storage_webhook_{name}", documentation, value)


def _version() -> str:
    try:
        return version("storage-initializer-webhook")
    except PackageNotFoundError:
        return "unknown"
