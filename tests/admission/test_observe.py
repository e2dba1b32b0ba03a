"""Observe mode: the differences between a received pod and the pod that enforce mode would make."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from prometheus_client import generate_latest

from tests import strategies
from tests.kserve import kserve_injected
from tests.mutation import JsonObject, a_container, a_pod, answer, decide, initializer, kserve_pod, mutated, several
from webhook.cluster.facts import Facts, PullSecret
from webhook.metrics import Metrics

SETTINGS = {"storageInitializer": {"enableOciModelSupport": True, "uidModelcar": 1010}}
FACTS = Facts(pull_secrets={"registry": PullSecret(has_docker_config=True)})
TOKEN = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}


def observing(settings: Any = SETTINGS) -> dict[str, Any]:
    """The same settings in observe mode."""
    return {**settings, "storageDefaults": {**(settings.get("storageDefaults") or {}), "mode": "observe"}}


def observed(pod: JsonObject) -> tuple[str, str | None, list[str]]:
    """The audit annotations `reason` and `differs` of a pod, and the warnings."""
    response = answer(pod, observing(), facts=FACTS)
    audit = response["auditAnnotations"]
    assert (response["allowed"], "patch" in response, audit["outcome"]) == (True, False, "observed")
    return audit["reason"], audit.get("differs"), response.get("warnings", [])


def stored(pod: JsonObject) -> JsonObject:
    """The pod with additions of the API server: defaults, and the service account token."""
    pod = copy.deepcopy(pod)
    for each in pod["spec"].get("initContainers", ()):
        each.setdefault("imagePullPolicy", "Always")
        each.setdefault("terminationMessagePath", "/dev/termination-log")
        each.setdefault("volumeMounts", []).append(TOKEN)
    for volume in pod["spec"].get("volumes", ()):
        if "secret" in volume:
            volume["secret"].setdefault("defaultMode", 0o644)
    return pod


PODS = {
    "download": kserve_pod("s3://b/m"),
    "claim": kserve_pod("pvc://foo/iris"),
    "copied": kserve_pod("pvc://foo/iris", annotations={"storage.kserve.io/pvc-mount": "copy"}),
    "file": kserve_pod("pvc://foo/iris/m.joblib"),
    "modelcar": kserve_pod("oci+modelcar://iris:1"),
    "native": kserve_pod("oci+native://iris:1"),
    "fetch": kserve_pod("oci+fetch://iris:1", imagePullSecrets=[{"name": "registry"}]),
    "cached": kserve_pod("s3://b/m", annotations={"storage.kserve.io/cache": "pvc://cache"}),
    "istio": kserve_pod("s3://b/m", annotations={"serving.kserve.io/storage-initializer-uid": "1337"}),
    "several": several(("s3://b/m", "/mnt/a/m"), ("hf://o/n", "/mnt/a/n"), ("pvc://foo/x", "/opt/x")),
    "native sidecar": kserve_pod("s3://b/m", initContainers=[a_container("proxy", restartPolicy="Always")]),
}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_without_its_model_would_be_injected(pod: JsonObject) -> None:
    reason, fields, warnings = observed(pod)
    assert reason == "injected"
    assert fields is not None
    assert warnings == [f"would be injected, but observe mode changes nothing: {fields.replace(',', ', ')}"]


def test_the_fields_are_those_of_the_patch() -> None:
    assert observed(PODS["download"])[1] == "containers.volumeMounts,initContainers,volumes"
    assert observed(PODS["claim"])[1] == "containers.volumeMounts,volumes"
    assert observed(PODS["modelcar"])[1] == (
        "containers,containers.env,containers.securityContext,containers.volumeMounts,"
        "initContainers,shareProcessNamespace,volumes"
    )


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_an_injected_pod_is_unchanged(pod: JsonObject) -> None:
    assert observed(stored(mutated(pod, SETTINGS, facts=FACTS))) == ("unchanged", None, [])


@given(strategies.pods(), strategies.settings)
def test_generated_injected_pods_are_unchanged(pod: JsonObject, settings: JsonObject) -> None:
    injected = decide(pod, settings).mutated
    assume(injected is not None)
    outcome = decide(injected, observing(settings))
    assert (outcome.kind, outcome.reason, outcome.differences) == ("observed", "unchanged", ())


@given(strategies.spoiled_pods(), strategies.settings)
def test_invalid_pods_are_admitted(pod: Any, settings: JsonObject) -> None:
    assert decide(pod, observing(settings)).allowed


def changed(kind: str, change: str, value: Any) -> JsonObject:
    """An injected pod with a changed field of the init container or, for a claim, of the server container."""
    pod = stored(mutated(PODS[kind], SETTINGS))
    subject = initializer(pod) if kind != "claim" else pod["spec"]["containers"][0]
    subject[change] = value(subject.get(change)) if callable(value) else value
    return pod


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (changed("download", "image", "other:1"), "initContainers.image"),
        (changed("download", "args", ["s3://b/other", "/mnt/models"]), "initContainers.args"),
        (changed("download", "env", lambda env: env[1:]), "initContainers.env"),
        (changed("download", "env", lambda env: [*env, {"name": "MORE", "value": "s3cr3t"}]), "initContainers.env"),
        (changed("download", "env", [{"name": "HF_TOKEN", "value": "s3cr3t"}]), "initContainers.env"),
        (changed("download", "securityContext", None), "initContainers.securityContext"),
        (changed("download", "securityContext", {"runAsUser": 0}), "initContainers.securityContext"),
        (changed("download", "resources", {"limits": {"cpu": "7"}}), "initContainers.resources"),
        (
            changed("download", "volumeMounts", lambda found: [*found, {"name": "x", "mountPath": "/x"}]),
            "initContainers.volumeMounts",
        ),
        (
            changed("claim", "volumeMounts", lambda found: [{**found[0], "readOnly": False}]),
            "containers.volumeMounts",
        ),
    ],
)
def test_a_pod_that_is_injected_differently_differs(pod: JsonObject, field: str) -> None:
    reason, fields, warnings = observed(pod)
    assert (reason, fields) == ("differs", field)
    assert warnings == [f"has its model, but would be injected differently: {field}"]
    assert "s3cr3t" not in str(answer(pod, observing()))


def test_equal_quantities_with_different_notation_are_no_difference() -> None:
    amounts = {"requests": {"cpu": "0.1", "memory": "104857600"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}}
    assert observed(changed("download", "resources", amounts))[0] == "unchanged"


def test_a_different_order_of_sidecars_differs() -> None:
    pod = mutated(PODS["native sidecar"], SETTINGS)
    pod["spec"]["initContainers"].reverse()
    assert observed(pod)[:2] == ("differs", "initContainers.order")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # In this test, KServe's init container has no security context and no resources.
        ("download", ("differs", "initContainers.env,initContainers.resources,initContainers.securityContext")),
        ("claim", ("unchanged", None)),
        ("file", ("differs", "containers.volumeMounts")),
        ("native", ("unchanged", None)),
        ("modelcar", ("differs", "containers.securityContext,initContainers.securityContext")),
    ],
)
def test_pods_that_kserve_injected(kind: str, expected: tuple[str, str | None]) -> None:
    reason, fields, _ = observed(kserve_injected(PODS[kind]))
    assert reason == expected[0]
    assert set((expected[1] or "").split(",")) <= set((fields or "").split(","))


def test_an_injected_pod_that_would_be_denied() -> None:
    pod = kserve_injected(kserve_pod("s3://b/m"))
    pod["metadata"]["annotations"]["storage.kserve.io/mount-path"] = "models"
    reason, fields, warnings = observed(pod)
    assert (reason, fields) == ("denied", None)
    assert warnings[0].startswith("would be denied: annotation storage.kserve.io/mount-path")


def test_a_pod_with_an_initializer_but_without_a_request_is_skipped() -> None:
    pod = a_pod(labels={"serving.kserve.io/inferenceservice": "iris"})
    pod["spec"]["initContainers"] = [a_container("storage-initializer")]
    audit = answer(pod, observing())["auditAnnotations"]
    assert audit == {"outcome": "skipped", "reason": "already-injected"}


def test_only_fields_of_injected_pods_are_counted() -> None:
    metrics = Metrics()
    for pod in (PODS["download"], mutated(PODS["download"]), changed("download", "image", "other:1")):
        outcome = decide(pod, observing())
        metrics.on_admission(outcome.kind, outcome.reason, outcome.sources, 0.001, differences=outcome.differences)
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if "differences_total{" in line]
    assert lines == ['storage_webhook_observed_differences_total{place="initContainers.image"} 1.0']
    for reason in ("injected", "unchanged", "differs"):
        labels = {"outcome": "observed", "reason": reason, "sources": "s3"}
        assert metrics.registry.get_sample_value("storage_webhook_admissions_total", labels) == 1
