"""Generate the chart's Grafana dashboard (`python -m tools.dashboard`). A test checks that it is up to date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "charts" / "storage-initializer-webhook" / "files" / "dashboard.json"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_JOB = 'job=~"$job"'
_ADMISSIONS = "storage_webhook_admissions_total"


@dataclass(frozen=True)
class Panel:
    """A graph: title, unit, and queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rates(by: str, counter: str, *selectors: str) -> tuple[tuple[str, str], ...]:
    """A query for the rate of a counter by a label. Grafana derives the interval from the scrape interval."""
    selected = ",".join((_JOB, *selectors))
    return ((f"sum by ({by}) (rate({counter}{{{selected}}}[$__rate_interval]))", f"{{{{{by}}}}}"),)


def _quantile(share: float) -> str:
    buckets = f"storage_webhook_admission_duration_seconds_bucket{{{_JOB}}}"
    return f"histogram_quantile({share}, sum by (le) (rate({buckets}[$__rate_interval])))"


PANELS = (
    Panel("Admissions per second, by outcome", "ops", _rates("outcome", _ADMISSIONS)),
    Panel("Admissions per second, by kind of source", "ops", _rates("sources", _ADMISSIONS, 'sources!=""')),
    Panel("Response time", "s", ((_quantile(0.5), "p50"), (_quantile(0.99), "p99"))),
    Panel("Skipped per second, by reason", "ops", _rates("reason", _ADMISSIONS, 'outcome="skipped"')),
    Panel("Lookups per second, by result", "ops", _rates("result", "storage_webhook_lookups_total")),
    Panel("Requests in flight", "short", ((f"storage_webhook_in_flight_requests{{{_JOB}}}", "{{pod}}"),)),
    Panel(
        "Time to certificate expiry",
        "s",
        ((f"storage_webhook_certificate_expiry_timestamp_seconds{{{_JOB}}} - time()", "{{pod}}"),),
    ),
    Panel(
        "Settings: generation; 1 if newer ones were rejected",
        "short",
        (
            (f"storage_webhook_settings_generation{{{_JOB}}}", "generation {{pod}}"),
            (f"storage_webhook_settings_rejected{{{_JOB}}}", "rejected {{pod}}"),
        ),
    ),
    Panel(
        "Pods that requested a model but were not injected",
        "short",
        ((f"max(storage_webhook_uninjected_pods{{{_JOB}}})", "pods"),),
    ),
    Panel("Observe mode: pods per second, by reason", "ops", _rates("reason", _ADMISSIONS, 'outcome="observed"')),
    Panel(
        "Observe mode: differences per second, by field",
        "ops",
        _rates("place", "storage_webhook_observed_differences_total"),
    ),
    Panel(
        "Claims with models: free share",
        "percentunit",
        (
            (
                "min by (namespace, persistentvolumeclaim) "
                '(kubelet_volume_stats_available_bytes{persistentvolumeclaim=~"$claims"} '
                '/ kubelet_volume_stats_capacity_bytes{persistentvolumeclaim=~"$claims"})',
                "{{namespace}}/{{persistentvolumeclaim}}",
            ),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as JSON for import into Grafana."""
    panels = [_panel(index, panel) for index, panel in enumerate(PANELS)]
    model: dict[str, Any] = {
        "title": "Model storage webhook",
        "uid": "storage-initializer-webhook",
        "schemaVersion": 39,
        "tags": ["kubernetes", "models"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_datasource(), _job(), _claims()]},
        "panels": panels,
    }
    return json.dumps(model, indent=2) + "\n"


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": "ABCDEF"[number], "datasource": _SOURCE, "expr": query, "legendFormat": legend}
        for number, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 8, "x": 8 * (index % 3), "y": 8 * (index // 3)},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _job() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": _SOURCE,
        "query": "label_values(storage_webhook_build_info, job)",
        "includeAll": True,
        "refresh": 2,
    }


def _claims() -> dict[str, Any]:
    """A text box for a regular expression, with the same default as the chart's alerts."""
    return {"name": "claims", "type": "textbox", "label": "Claims with models", "query": ".*model.*|.*cache.*"}


if __name__ == "__main__":
    TARGET.write_text(dashboard())
