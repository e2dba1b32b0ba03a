"""Dashboard and alerts ask for metrics that the webhook has."""

import json
import re

import pytest
from prometheus_client import generate_latest

from tests.chart.rendering import CHART, render
from tools.dashboard import TARGET, dashboard
from webhook.admission import Outcome
from webhook.context import Webhook
from webhook.settings.source import EmbeddedSettings
from webhook.state_metrics import StateCollector

# The kubelet's, the API server's and Prometheus' own.
OTHERS = {"up", "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}


def exposed() -> set[str]:
    """The names of all metrics that a webhook can show."""
    webhook = Webhook(EmbeddedSettings(), slipped=0)
    webhook.metrics.admitted(Outcome("injected"), 0.1)
    webhook.metrics.admitted(Outcome("observed", reason="differs", differences=("volumes",)), 0.1)
    webhook.metrics.looked_up("memory")
    webhook.metrics.registry.register(StateCollector(webhook, lambda: 1.0))
    text = generate_latest(webhook.metrics.registry).decode()
    return {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def asked_for(text: str) -> set[str]:
    return set(re.findall(r"storage_webhook_\w+", text))


def test_the_dashboard_is_made_from_its_source():
    assert TARGET.read_text() == dashboard(), "run `make docs`"


def test_the_dashboard_asks_for_metrics_there_are():
    expressions = [target["expr"] for panel in json.loads(dashboard())["panels"] for target in panel["targets"]]
    assert asked_for(" ".join(expressions)) - exposed() == set()


@pytest.fixture(scope="module")
def rules():
    rendered = render("--values", CHART / "ci" / "metrics-values.yaml")
    (rule,) = (found for found in rendered if found["kind"] == "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


def test_alerts_ask_for_metrics_there_are(rules):
    assert asked_for(" ".join(rule["expr"] for rule in rules)) - exposed() == set()


def test_every_alert_says_what_to_do(rules):
    assert len(rules) >= 9
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_claims_are_those_of_the_values(rules):
    (filling,) = (rule for rule in rules if rule["alert"] == "ModelClaimFillsUp")
    assert 'persistentvolumeclaim=~"models|cache-.*"' in filling["expr"]
