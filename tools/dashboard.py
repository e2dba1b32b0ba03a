"""Makes the chart's Grafana dashboard: `python -m tools.dashboard` writes it, a test holds it in sync."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "charts" / "storage-initializer-webhook" / "files" / "dashboard.json"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_JOB = 'job=~"$job"'
# Title, unit, and the queries with their legends.
_PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Admissions a second, by outcome",
        "ops",
        ((f"sum by (outcome) (rate(storage_webhook_admissions_total{{{_JOB}}}[5m]))", "{{outcome}}"),),
    ),
    (
        "Admissions a second, by kind of source",
        "ops",
        ((f'sum by (sources) (rate(storage_webhook_admissions_total{{{_JOB},sources!=""}}[5m]))', "{{sources}}"),),
    ),
    (
        "Time to an answer",
        "s",
        tuple(
            (
                f"histogram_quantile({share}, sum by (le) "
                f"(rate(storage_webhook_admission_duration_seconds_bucket{{{_JOB}}}[5m])))",
                name,
            )
            for share, name in ((0.5, "p50"), (0.99, "p99"))
        ),
    ),
    (
        "Skipped, by reason",
        "ops",
        (
            (
                f'sum by (reason) (rate(storage_webhook_admissions_total{{{_JOB},outcome="skipped"}}[5m]))',
                "{{reason}}",
            ),
        ),
    ),
    (
        "Lookups, by where the answer came from",
        "ops",
        ((f"sum by (answer) (rate(storage_webhook_lookups_total{{{_JOB}}}[5m]))", "{{answer}}"),),
    ),
    (
        "Requests in work",
        "short",
        ((f"storage_webhook_in_flight_requests{{{_JOB}}}", "{{pod}}"),),
    ),
    (
        "Certificate expires in",
        "s",
        ((f"storage_webhook_certificate_expiry_timestamp_seconds{{{_JOB}}} - time()", "{{pod}}"),),
    ),
    (
        "Settings: generation, and 1 when newer ones were refused",
        "short",
        (
            (f"storage_webhook_settings_generation{{{_JOB}}}", "generation {{pod}}"),
            (f"storage_webhook_settings_refused{{{_JOB}}}", "refused {{pod}}"),
        ),
    ),
    (
        "Pods that asked and were not injected",
        "short",
        ((f"max(storage_webhook_slipped_pods{{{_JOB}}})", "pods"),),
    ),
    (
        "Observe mode: what would become of pods",
        "ops",
        ((f'sum by (reason) (rate(storage_webhook_admissions_total{{{_JOB},outcome="observed"}}[5m]))', "{{reason}}"),),
    ),
    (
        "Observe mode: where pods differ",
        "ops",
        ((f"sum by (place) (rate(storage_webhook_observed_differences_total{{{_JOB}}}[5m]))", "{{place}}"),),
    ),
)


def dashboard() -> str:
    """The dashboard's JSON, as Grafana imports it."""
    panels = [_panel(index, *panel) for index, panel in enumerate(_PANELS)]
    model: dict[str, Any] = {
        "title": "Model storage webhook",
        "uid": "storage-initializer-webhook",
        "schemaVersion": 39,
        "tags": ["kubernetes", "models"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_datasource(), _job()]},
        "panels": panels,
    }
    return json.dumps(model, indent=2) + "\n"


def _panel(index: int, title: str, unit: str, queries: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    targets = [
        {"refId": "ABCDEF"[number], "datasource": _SOURCE, "expr": query, "legendFormat": legend}
        for number, (query, legend) in enumerate(queries)
    ]
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 8, "x": 8 * (index % 3), "y": 8 * (index // 3)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
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


if __name__ == "__main__":
    TARGET.write_text(dashboard())
