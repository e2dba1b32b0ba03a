"""Dashboard and alerts ask for metrics that the webhook has."""

import json
import re

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest

from tests.chart.rendering import CHART, CHART_VALUES, render
from tools.alerts import CASES
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


def parse(query):
    """Raises ValueError when Prometheus would."""
    variables = {"$job": ".+", "$claims": ".+", "$__rate_interval": "1m"}
    for variable, value in variables.items():
        query = query.replace(variable, value)
    assert "$" not in query, "Grafana would not know the variable"
    return promql_parser.parse(query)


def test_every_panel_asks_what_prometheus_understands():
    for panel in json.loads(dashboard())["panels"]:
        assert panel["targets"]
        for target in panel["targets"]:
            parse(target["expr"])
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parse("sum by (outcome (x)")


def test_panels_lie_side_by_side_and_cover_nothing():
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_the_dashboard_looks_at_the_claims_that_the_alert_looks_at():
    (variable,) = [each for each in json.loads(dashboard())["templating"]["list"] if each["name"] == "claims"]
    assert variable["query"] == yaml.safe_load(CHART_VALUES.read_text())["metrics"]["alerts"]["claims"]


@pytest.fixture(scope="module")
def rules():
    rendered = render("--values", CHART / "ci" / "metrics-values.yaml")
    (rule,) = (found for found in rendered if found["kind"] == "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


def test_alerts_ask_for_metrics_there_are(rules):
    assert asked_for(" ".join(rule["expr"] for rule in rules)) - exposed() == set()


def test_every_alert_is_what_prometheus_understands_and_has_been_tried(rules):
    tried = CASES.read_text()
    for rule in rules:
        parse(rule["expr"])
        assert rule["alert"] in tried, "add a case, and run `make alerts`"


def test_every_alert_says_what_to_do(rules):
    assert len(rules) >= 9
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_claims_are_those_of_the_values(rules):
    (filling,) = (rule for rule in rules if rule["alert"] == "ModelClaimFillsUp")
    assert 'persistentvolumeclaim=~"models|cache-.*"' in filling["expr"]
