"""The dashboard and the alerts use metrics that exist."""

import json
import re

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest

from tests.chart.rendering import CHART, CHART_VALUES, render
from tools.alerts import CASES
from tools.dashboard import TARGET, dashboard
from webhook.server.context import Webhook
from webhook.server.state_metrics import StateCollector
from webhook.settings.source import EmbeddedSettings

# Metrics of the kubelet, the API server and Prometheus.
OTHERS = {"up", "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}


def exposed() -> set[str]:
    """The names of all metrics that a webhook exposes."""
    webhook = Webhook(EmbeddedSettings(), uninjected=0)
    webhook.metrics.on_admission("injected", "", (), 0.1)
    webhook.metrics.on_admission("observed", "differs", (), 0.1, differences=("volumes",))
    webhook.metrics.on_lookup("cached")
    webhook.metrics.registry.register(StateCollector(webhook, lambda: 1.0))
    text = generate_latest(webhook.metrics.registry).decode()
    return {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"storage_webhook_\w+", text))


def test_dashboard_is_up_to_date():
    assert TARGET.read_text() == dashboard(), "run `make docs`"


def test_dashboard_uses_existing_metrics():
    expressions = [target["expr"] for panel in json.loads(dashboard())["panels"] for target in panel["targets"]]
    assert metrics_in(" ".join(expressions)) - exposed() == set()


def parse(query):
    """Raises ValueError if the query is not valid PromQL."""
    variables = {"$job": ".+", "$claims": ".+", "$__rate_interval": "1m"}
    for variable, value in variables.items():
        query = query.replace(variable, value)
    assert "$" not in query, "the dashboard does not define the variable"
    return promql_parser.parse(query)


def test_queries_of_every_panel_are_valid():
    for panel in json.loads(dashboard())["panels"]:
        assert panel["targets"]
        for target in panel["targets"]:
            parse(target["expr"])
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parse("sum by (outcome (x)")


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_dashboard_and_alert_use_the_same_claims():
    (variable,) = [each for each in json.loads(dashboard())["templating"]["list"] if each["name"] == "claims"]
    assert variable["query"] == yaml.safe_load(CHART_VALUES.read_text())["metrics"]["alerts"]["claims"]


@pytest.fixture(scope="module")
def rules():
    rendered = render("--values", CHART / "ci" / "metrics-values.yaml")
    (rule,) = (found for found in rendered if found["kind"] == "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.e2e  # helm comes with the control plane
def test_alerts_use_existing_metrics(rules):
    assert metrics_in(" ".join(rule["expr"] for rule in rules)) - exposed() == set()


@pytest.mark.e2e
def test_every_alert_is_valid_and_tested(rules):
    cases = CASES.read_text()
    for rule in rules:
        parse(rule["expr"])
        assert rule["alert"] in cases, "add a case, and run `make alerts`"


@pytest.mark.e2e
def test_every_alert_has_annotations_and_a_severity(rules):
    assert len(rules) >= 9
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.e2e
def test_alert_uses_the_claims_of_the_values(rules):
    (filling,) = (rule for rule in rules if rule["alert"] == "ModelClaimAlmostFull")
    assert 'persistentvolumeclaim=~"models|cache-.*"' in filling["expr"]
