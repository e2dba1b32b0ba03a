"""QoS class: a Guaranteed pod stays Guaranteed where that costs nothing, and is told where it does not.

Kubernetes: Pod Quality of Service Classes, and Resource sharing within init containers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import strategies
from tests.cluster_objects import admitted, storage_container
from tests.mutation import JsonObject, a_container, answer, container, decide, initializer, mutated, plain_pod
from webhook import annotations as keys
from webhook import quantity

S3 = "s3://bucket/model"
LIMITS = {"cpu": "1", "memory": "1Gi"}
REQUESTS = {"cpu": "100m", "memory": "100Mi"}


def _resources(cpu: Any = None, memory: Any = None) -> JsonObject:
    amounts = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount is not None}
    return {"limits": amounts, "requests": dict(amounts)}


LARGE = _resources("8", "32Gi")


def _pod(*resources: JsonObject | None, annotations: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    containers = [a_container(f"c{index}", resources=each) for index, each in enumerate(resources or (LARGE,))]
    return plain_pod(S3, annotations=annotations, containers=containers, **spec)


def _init(name: str, resources: JsonObject, **fields: Any) -> JsonObject:
    return a_container(name, resources=resources, **fields)


def _requests(pod: JsonObject, settings: Any = None) -> Any:
    return initializer(mutated(pod, settings))["resources"]["requests"]


def _warnings(pod: JsonObject, settings: Any = None) -> list[str]:
    return [warning for warning in answer(pod, settings).get("warnings", []) if "Guaranteed" in warning]


# --- QoS classes, as the kubelet computes them ----------------------------------------------------------------------

_ORDER = ("BestEffort", "Burstable", "Guaranteed")


def qos_class(pod: JsonObject) -> str:
    """The pod's QoS class. A request that is not set is equal to the limit, as the API server defaults it."""
    totals: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    complete = True
    for each in _deciding(pod["spec"]):
        resources = each.get("resources") or {}
        limits = resources.get("limits") or {}
        for kind, amounts in (("limits", limits), ("requests", {**limits, **(resources.get("requests") or {})})):
            positive = {name: quantity.parse(str(amount)) for name, amount in amounts.items()}
            positive = {name: amount for name, amount in positive.items() if name in REQUESTS and amount > 0}
            complete = complete and (kind == "requests" or len(positive) == len(REQUESTS))
            for name, amount in positive.items():
                totals[kind][name] = totals[kind].get(name, Decimal(0)) + amount
    if not any(totals.values()):
        return "BestEffort"
    return "Guaranteed" if complete and totals["requests"] == totals["limits"] else "Burstable"


def _deciding(spec: JsonObject) -> list[JsonObject]:
    if spec.get("resources") is not None:
        return [spec]
    return [*spec["containers"], *(spec.get("initContainers") or ())]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod({}), "BestEffort"),
        (_pod(_resources("1")), "Burstable"),
        (_pod(_resources("0", "1Gi")), "Burstable"),
        (_pod({"limits": LIMITS, "requests": REQUESTS}), "Burstable"),
        (_pod({"limits": {"cpu": "0.5", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Guaranteed"),
        (_pod(LARGE, initContainers=[a_container("i")]), "Burstable"),
        (_pod({}, resources=LARGE), "Guaranteed"),
    ],
)
def test_classes(pod: JsonObject, expected: str) -> None:
    assert qos_class(pod) == expected


# --- Requests ---------------------------------------------------------------------------------------------------------

FREE = {
    "more than the limits": _pod(LARGE),
    "as much as the limits": _pod(_resources("1", "1Gi")),
    "other units": _pod(_resources("1000m", "1073741824")),
    "numbers": _pod(_resources(1, 2**30)),
    "equal by value": _pod({"limits": {"cpu": "1.5", "memory": "2Gi"}, "requests": {"cpu": "1500m", "memory": "2Gi"}}),
    "limits only": _pod({"limits": LIMITS}),
    "several containers together": _pod(_resources("600m", "1Gi"), _resources("400m", "1Gi")),
    "a large init container": _pod(_resources("100m", "1Gi"), initContainers=[_init("i", _resources("2", "1Gi"))]),
    "a sidecar besides": _pod(
        _resources("1", "1Gi"), initContainers=[_init("proxy", _resources("1", "1Gi"), restartPolicy="Always")]
    ),
    "lower limits": _pod(_resources("200m", "256Mi"), annotations={keys.CPU_LIMIT: "200m", keys.MEMORY_LIMIT: "256Mi"}),
    "request annotations that equal the limits": _pod(
        _resources("10m", "16Mi"), annotations={keys.CPU_REQUEST: "1000m", keys.MEMORY_REQUEST: "1Gi"}
    ),
    "one request annotation": _pod(_resources("10m", "1Gi"), annotations={keys.CPU_REQUEST: "1"}),
}


@pytest.mark.parametrize("pod", FREE.values(), ids=FREE)
def test_a_guaranteed_pod_stays_guaranteed_where_it_costs_nothing(pod: JsonObject) -> None:
    assert qos_class(pod) == "Guaranteed"
    assert qos_class(mutated(pod)) == "Guaranteed"
    assert _warnings(pod) == []


def test_requests_are_the_limits() -> None:
    assert initializer(mutated(_pod()))["resources"] == {"requests": LIMITS, "limits": LIMITS}


COSTLY = {
    "less CPU": _pod(_resources("999m", "1Gi")),
    "less memory": _pod(_resources("1", "1023Mi")),
    "a small init container": _pod(_resources("100m", "1Gi"), initContainers=[_init("i", _resources("900m", "1Gi"))]),
    "only with a sidecar": _pod(
        _resources("500m", "1Gi"), initContainers=[_init("proxy", _resources("600m", "1Gi"), restartPolicy="Always")]
    ),
}


@pytest.mark.parametrize("pod", COSTLY.values(), ids=COSTLY)
def test_a_guaranteed_pod_is_warned_where_it_would_cost(pod: JsonObject) -> None:
    assert qos_class(pod) == "Guaranteed"
    assert _requests(pod) == REQUESTS
    (warning,) = _warnings(pod)
    assert "Burstable" in warning
    assert f'{keys.CPU_REQUEST} "1"' in warning
    assert f'{keys.MEMORY_REQUEST} "1Gi"' in warning
    assert len(warning) <= 256


@pytest.mark.parametrize("pod", COSTLY.values(), ids=COSTLY)
def test_the_annotations_of_the_warning_keep_the_class(pod: JsonObject) -> None:
    pod["metadata"]["annotations"].update({keys.CPU_REQUEST: "1", keys.MEMORY_REQUEST: "1Gi"})
    assert qos_class(mutated(pod)) == "Guaranteed"
    assert _warnings(pod) == []


def test_request_annotations_win() -> None:
    pod = _pod(annotations={keys.CPU_REQUEST: "200m"})
    assert _requests(pod) == {"cpu": "200m", "memory": "100Mi"}
    (warning,) = _warnings(pod)
    assert f'{keys.CPU_REQUEST} "1"' in warning


def test_a_limit_of_zero_is_named() -> None:
    settings = {"storageInitializer": {"cpuRequest": "0", "cpuLimit": "0"}}
    (warning,) = _warnings(_pod(), settings)
    assert f"{keys.CPU_LIMIT} above 0" in warning


NOT_GUARANTEED = {
    "no resources": _pod(None),
    "no limits": _pod({"requests": {"cpu": "8", "memory": "32Gi"}}),
    "requests below the limits": _pod({"limits": {"cpu": "8", "memory": "32Gi"}, "requests": {"cpu": "4"}}),
    "no memory limit": _pod(_resources("8")),
    "one of two containers": _pod(LARGE, None),
    "an init container": _pod(LARGE, initContainers=[a_container("i")]),
    "no quantity": _pod(_resources("many", "32Gi")),
    "no object": _pod({"limits": ["cpu"], "requests": None}),
    "pod-level limits": _pod(LARGE, resources={"limits": {"cpu": "16", "memory": "64Gi"}}),
}


@pytest.mark.parametrize("pod", NOT_GUARANTEED.values(), ids=NOT_GUARANTEED)
def test_other_pods_keep_the_requests_of_the_settings(pod: JsonObject) -> None:
    assert _requests(pod) == REQUESTS
    assert _warnings(pod) == []


def test_pod_level_resources_decide() -> None:
    pod = _pod(LARGE, resources=LARGE)
    assert qos_class(mutated(pod)) == "Guaranteed"
    assert _requests(pod) == {"cpu": "0", "memory": "0"}


# --- Other injected containers ----------------------------------------------------------------------------------------

MODELCARS = {"storageInitializer": {"enableModelcar": True}}
MODELCAR = "oci+modelcar://registry.example.com/m:1"


def test_modelcars_stay_guaranteed() -> None:
    pod = plain_pod(MODELCAR, containers=[a_container(resources=_resources("10m", "16Mi"))])
    assert qos_class(mutated(pod, MODELCARS)) == "Guaranteed"
    assert _warnings(pod, MODELCARS) == []


def test_a_modelcar_without_cpu_is_told() -> None:
    settings = {"storageInitializer": {"enableModelcar": True, "cpuModelcar": "0"}}
    pod = plain_pod(MODELCAR, containers=[a_container(resources=LARGE)])
    assert all("cpuModelcar" in warning for warning in _warnings(pod, settings))
    assert _warnings(pod, settings)


def test_modelcars_beside_a_download_count_for_the_pod() -> None:
    uris = f'[{{"uri": "{MODELCAR}", "mountPath": "/srv/car"}}, {{"uri": "{S3}", "mountPath": "/mnt/m"}}]'
    pod = plain_pod("", containers=[a_container(resources=_resources("990m", "1Gi"))])
    pod["metadata"]["annotations"] = {keys.URIS: uris}
    assert initializer(mutated(pod, MODELCARS))["resources"]["requests"] == LIMITS
    assert container(mutated(pod, MODELCARS), "modelcar")["resources"]["requests"]["cpu"] == "10m"


def test_requests_of_a_storage_container_are_raised_too() -> None:
    ours = storage_container("ours", "s3://", container={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": 3}}})
    assert qos_class(admitted(_pod(), ours)) == "Guaranteed"


# --- All pods ---------------------------------------------------------------------------------------------------------

_amounts = st.sampled_from([("1", "1Gi"), ("8", "32Gi"), ("200m", "256Mi"), ("0.5", "2G"), ("0", "1Gi"), (2, None)])
_equal = _amounts.map(lambda amounts: _resources(*amounts))
_any = st.none() | _equal | _amounts.map(lambda amounts: {"limits": _resources(*amounts)["limits"]})
_more = st.fixed_dictionaries(
    {},
    optional={
        keys.CPU_REQUEST: st.sampled_from(["100m", "1"]),
        keys.CPU_LIMIT: st.sampled_from(["1", "0"]),
        keys.MEMORY_REQUEST: st.sampled_from(["1Gi", "50Mi"]),
    },
)


@given(strategies.pods(), strategies.settings, st.data())
def test_the_class_never_gets_worse_without_a_warning(
    pod: JsonObject, settings: JsonObject, data: st.DataObject
) -> None:
    each = data.draw(st.sampled_from([_equal, _any]))
    for found in _deciding({**pod["spec"], "resources": None}):
        found["resources"] = data.draw(each)
    pod["metadata"]["annotations"].update({str(key): text for key, text in data.draw(_more).items()})
    outcome = decide(pod, settings)
    assume(outcome.kind == "injected")
    before, after = _ORDER.index(qos_class(pod)), _ORDER.index(qos_class(outcome.mutated))
    assert after >= before or any("Guaranteed" in warning for warning in outcome.warnings)
