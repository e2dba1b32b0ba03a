"""Options of the webhook's pods, its Service, and how its metrics are scraped."""

import pytest

from tests.chart.rendering import CHART, FULLNAME, NAMESPACE, Object, one, render, rendering_error, values

pytestmark = pytest.mark.e2e  # helm comes with the control plane

SCRAPED_OVER_TLS = {"metrics.tls": True, "metrics.serviceMonitor.enabled": True}


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ({}, ("RollingUpdate", 1, 0)),
        ({"hostNetwork": True}, ("RollingUpdate", 0, 1)),
        ({"hostNetwork": True, "strategy.rollingUpdate.maxUnavailable": 2}, ("RollingUpdate", 0, 2)),
        ({"strategy.type": "Recreate"}, ("Recreate", None, None)),
        ({"strategy.rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, ("RollingUpdate", 0, 1)),
        ({"strategy.rollingUpdate.maxSurge": "100%"}, ("RollingUpdate", "100%", 0)),
    ],
)
def test_update_strategy(given, strategy):
    stored = one("Deployment", render(*values(**given)))["spec"]["strategy"]
    rolling = stored.get("rollingUpdate", {})
    assert (stored["type"], rolling.get("maxSurge"), rolling.get("maxUnavailable")) == strategy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, "strategy.type is Recreate"),
        ({"strategy.rollingUpdate.maxSurge": 0}, "so no pod could be replaced"),
        ({"strategy.rollingUpdate.maxSurge": "0%"}, "so no pod could be replaced"),
        ({"hostNetwork": True, "strategy.rollingUpdate.maxUnavailable": 0}, "so no pod could be replaced"),
        ({"metrics.serviceMonitor.tlsConfig": {"insecureSkipVerify": True}}, "but metrics.tls is false"),
        ({**SCRAPED_OVER_TLS, "metrics.serviceMonitor.namespace": "monitoring"}, "can only use Secrets in its own"),
        (
            {
                **SCRAPED_OVER_TLS,
                "certificates.mode": "existing",
                "certificates.existing.secretName": "mine",
                "webhook.annotations": {"cert-manager.io/inject-ca-from-secret": "a/b"},
            },
            "set metrics.serviceMonitor.tlsConfig",
        ),
    ],
)
def test_contradictory_values_are_rejected_with_a_message(given, message):
    assert message in rendering_error(*values(**given))


def test_options_of_the_pods_are_passed_on():
    objects = render("--values", CHART / "ci" / "pod-options-values.yaml")
    deployment = one("Deployment", objects)["spec"]
    spec = deployment["template"]["spec"]
    (container,) = spec["containers"]
    assert deployment["revisionHistoryLimit"] == 2
    assert container["args"][-2:] == ["--traces", "--max-connections=2000"]
    assert spec["volumes"] == [{"name": "otel", "configMap": {"name": "otel-ca"}}]
    assert container["volumeMounts"] == [{"name": "otel", "mountPath": "/etc/otel", "readOnly": True}]
    assert spec["dnsPolicy"] == "None"
    assert spec["dnsConfig"]["nameservers"] == ["10.0.0.10"]
    assert spec["hostAliases"] == [{"ip": "10.0.0.20", "hostnames": ["collector.example.com"]}]
    probes = [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
    assert [(probe["periodSeconds"], probe.get("failureThreshold")) for probe in probes] == [
        (1, 300),
        (10, None),
        (30, 5),
    ]
    assert [probe["httpGet"]["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"]


def test_volumes_are_added_to_those_of_the_certificate():
    extra = {
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/x"}],
    }
    spec = _pod(render(*values(certificates__mode="self-signed", **extra)))
    assert [volume["name"] for volume in spec["volumes"]] == ["tls", "more"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["tls", "more"]


@pytest.mark.parametrize(
    ("given", "policy"),
    [({}, None), ({"hostNetwork": True}, "ClusterFirstWithHostNet"), ({"dnsPolicy": "Default"}, "Default")],
)
def test_dns_policy(given, policy):
    assert _pod(render(*values(**given))).get("dnsPolicy") == policy


def test_pods_run_on_linux_unless_the_values_say_otherwise():
    objects = render()
    for pod in (_pod(objects), *(each["spec"] for each in objects if each["kind"] == "Pod")):
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "nodeSelector" not in _pod(render(*values(nodeSelector=None)))


def test_a_probe_takes_only_its_timing():
    assert "httpGet" in rendering_error(*values(livenessProbe__httpGet={"path": "/"}))


def test_service_options():
    options = values(service__type="LoadBalancer", service__ipFamilyPolicy="SingleStack", service__ipFamilies=["IPv6"])
    spec = one("Service", render(*options))["spec"]
    assert (spec["type"], spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("LoadBalancer", "SingleStack", ["IPv6"])


def test_egress_of_ones_own_is_added():
    rule = {"ports": [{"port": 4318, "protocol": "TCP"}]}
    default = one("NetworkPolicy", render(*values(networkPolicy__enabled=True)))["spec"]["egress"]
    egress = one("NetworkPolicy", render(*values(networkPolicy={"enabled": True, "extraEgress": [rule]})))["spec"][
        "egress"
    ]
    assert egress == [*default, rule]


@pytest.mark.parametrize(("tls", "scheme"), [(False, "http"), (True, "https")])
def test_service_and_arguments_follow_the_scheme_of_the_metrics(tls, scheme):
    objects = render(*values(metrics__tls=tls))
    assert one("Service", objects)["spec"]["ports"][1]["appProtocol"] == scheme
    assert ("--metrics-tls" in _pod(objects)["containers"][0]["args"]) is tls


@pytest.mark.parametrize("mode", ["self-managed", "self-signed", "cert-manager"])
def test_prometheus_verifies_the_certificate_of_the_metrics(mode):
    objects = render(*values(**SCRAPED_OVER_TLS, certificates__mode=mode))
    monitor = one("ServiceMonitor", objects)["spec"]
    (endpoint,) = monitor["endpoints"]
    assert monitor["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert endpoint["scheme"] == "https"
    secret = f"{FULLNAME}-{'certificates' if mode == 'self-managed' else 'tls'}"
    expected = {"serverName": f"{FULLNAME}.{NAMESPACE}.svc", "ca": {"secret": {"name": secret, "key": "ca.crt"}}}
    assert endpoint["tlsConfig"] == expected


def test_service_monitor_options():
    objects = render("--values", CHART / "ci" / "metrics-tls-values.yaml")
    monitor = one("ServiceMonitor", objects)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["metadata"]["namespace"] == "models"
    assert endpoint["scrapeTimeout"] == "10s"
    assert endpoint["tlsConfig"] == {"insecureSkipVerify": True}
    assert endpoint["relabelings"][0]["targetLabel"] == "node"
    assert endpoint["metricRelabelings"][0]["action"] == "drop"


def _pod(objects: list[Object]) -> Object:
    spec: Object = one("Deployment", objects)["spec"]["template"]["spec"]
    return spec
