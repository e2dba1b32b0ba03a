"""The API server calls the webhook again after other webhooks changed the pod."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import strategies
from tests.golden import FIXTURES, Case
from tests.mutation import JsonObject, a_container, a_pod, decide, several
from tests.reinvocation import CHANGES, Change, changed, without_what_may_follow

MODELCAR = "oci+modelcar://registry.example.com/model:1"
NATIVE = "oci+native://registry.example.com/model:1"
KINDS = {
    "claim": a_pod(annotations={"storage.kserve.io/uri": "pvc://models/llama"}),
    "single file": a_pod(annotations={"storage.kserve.io/uri": "pvc://models/model.onnx"}),
    "download": a_pod(annotations={"storage.kserve.io/uri": "s3://models/llama"}),
    "copy": a_pod(annotations={"storage.kserve.io/uri": "pvc://models/llama", "storage.kserve.io/pvc-mount": "copy"}),
    "cache": a_pod(
        annotations={"storage.kserve.io/uri": "s3://models/llama", "storage.kserve.io/cache": "pvc://cache"}
    ),
    "modelcar": a_pod(annotations={"storage.kserve.io/uri": MODELCAR}),
    "modelcar of a job": a_pod(annotations={"storage.kserve.io/uri": MODELCAR}, restartPolicy="Never"),
    "image volume": a_pod(annotations={"storage.kserve.io/uri": NATIVE}),
    "fetched image": a_pod(annotations={"storage.kserve.io/uri": MODELCAR.replace("modelcar", "fetch")}),
    "init container": a_pod(
        annotations={"storage.kserve.io/uri": "s3://models/llama", "storage.kserve.io/containers": "server,build"},
        initContainers=[a_container("build")],
    ),
    "several": several(("pvc://models/base", "/mnt/base"), ("pvc://models/lora", "/mnt/lora")),
    "several of all": several((MODELCAR, "/car/m"), (NATIVE, "/mnt/native"), ("pvc://models/x", "/mnt/x")),
    "several with a download": several(("s3://models/a", "/dl/a"), ("hf://org/b", "/dl/b"), ("pvc://c/d", "/mnt/d")),
}
SETTINGS: dict[str, JsonObject] = {
    "as KServe ships": {"storageInitializer": {"enableModelcar": True, "uidModelcar": 1010}},
    "without user id": {"storageInitializer": {"ociModelMode": "native"}},
    "own security context": {
        "storageInitializer": {"ociModelMode": "fetch", "uidModelcar": 2000},
        "storageDefaults": {"securityContext": {"readOnlyRootFilesystem": True}, "singleFile": [".bin"]},
    },
}

_changes = st.lists(st.sampled_from(CHANGES), max_size=6, unique=True)


def _is_injected(pod: JsonObject, settings: Any) -> JsonObject:
    outcome = decide(pod, settings)
    assert outcome.kind == "injected", outcome.message
    assert outcome.mutated is not None
    return outcome.mutated


def _second_call(pod: JsonObject, settings: Any) -> JsonObject:
    outcome = decide(pod, settings)
    assert outcome.allowed, outcome.message
    return outcome.mutated or pod


def _names(pod: JsonObject, field: str) -> list[str]:
    return sorted(item["name"] for item in pod["spec"].get(field) or ())


def _mounts(pod: JsonObject) -> list[tuple[str, str]]:
    containers = (pod["spec"].get("containers") or []) + (pod["spec"].get("initContainers") or [])
    return sorted((each["name"], mount["mountPath"]) for each in containers for mount in each.get("volumeMounts") or ())


def _parts(pod: JsonObject) -> Any:
    return [_names(pod, field) for field in ("containers", "initContainers", "volumes")], _mounts(pod)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_by_others_stays(kind: str, change: Change, settings: str) -> None:
    between = changed(_is_injected(KINDS[kind], SETTINGS[settings]), [change])
    after = _second_call(between, SETTINGS[settings])
    assert without_what_may_follow(after) == without_what_may_follow(between)


@given(strategies.pods(), strategies.settings, _changes)
def test_any_changes_by_others_stay(pod: JsonObject, settings: JsonObject, changes: list[Change]) -> None:
    outcome = decide(pod, settings)
    assume(outcome.kind == "injected" and outcome.mutated is not None)
    between = changed(outcome.mutated or {}, changes)
    after = _second_call(between, settings)
    assert without_what_may_follow(after) == without_what_may_follow(between)


@pytest.mark.parametrize("kind", ["modelcar", "modelcar of a job", "several of all"])
def test_a_modelcar_follows_the_user_id_of_its_target(kind: str) -> None:
    settings = SETTINGS["as KServe ships"]
    injected = _is_injected(KINDS[kind], settings)
    for container in injected["spec"]["containers"]:
        if container["name"] == "server":
            container["securityContext"]["runAsUser"] = 4711
    after = _second_call(injected, settings)["spec"]
    users = {
        container["name"]: container["securityContext"]["runAsUser"]
        for container in after["containers"] + after["initContainers"]
    }
    assert set(users.values()) == {4711}
    assert {"server", "modelcar", "modelcar-init"} == users.keys()


def test_a_container_that_only_has_the_name_of_a_modelcar_is_not_adopted() -> None:
    pod = a_pod("server", "modelcar", annotations={"storage.kserve.io/uri": MODELCAR})
    outcome = decide(pod, SETTINGS["as KServe ships"])
    assert outcome.kind == "denied"
    assert '"modelcar"' in outcome.message


@pytest.mark.parametrize("uri", [MODELCAR, NATIVE])
def test_a_pod_with_an_initializer_of_its_own_gets_its_image(uri: str) -> None:
    own = {"name": "storage-initializer", "image": "own:1", "args": ["prepare"]}
    pod = a_pod(annotations={"storage.kserve.io/uri": uri}, initContainers=[own])
    injected = _is_injected(pod, SETTINGS["as KServe ships"])
    assert own in injected["spec"]["initContainers"]
    (server,) = [each for each in injected["spec"]["containers"] if each["name"] == "server"]
    assert [mount["mountPath"] for mount in server["volumeMounts"]] in (["/mnt"], ["/mnt/models"])
    assert _second_call(injected, SETTINGS["as KServe ships"]) == injected


# --- Containers of others that mount the same things ---------------------------------------------------------------


def _sidecar(volume: str, path: str, **fields: Any) -> JsonObject:
    return {"name": "tools", "image": "tools:1", "volumeMounts": [{"name": volume, "mountPath": path, **fields}]}


def _server_mounts(pod: JsonObject) -> list[JsonObject]:
    (server,) = [each for each in pod["spec"]["containers"] if each["name"] == "server"]
    mounts: list[JsonObject] = server.get("volumeMounts") or []
    return mounts


@pytest.mark.parametrize("uri", [NATIVE, MODELCAR, MODELCAR.replace("modelcar", "fetch")])
def test_an_image_volume_of_a_sidecar_is_not_taken_for_the_model(uri: str) -> None:
    image = {"name": "tools-image", "image": {"reference": "registry.example.com/other:9"}}
    sidecar = _sidecar("tools-image", "/mnt/models", subPath="models", readOnly=True)
    pod = a_pod(annotations={"storage.kserve.io/uri": uri}, volumes=[image])
    pod["spec"]["containers"].append(sidecar)
    injected = _is_injected(pod, SETTINGS["as KServe ships"])
    assert sidecar in injected["spec"]["containers"]
    assert {mount["name"] for mount in _server_mounts(injected)}.isdisjoint({"tools-image"})
    assert _server_mounts(injected)


@pytest.mark.parametrize("first", [True, False])
def test_the_server_gets_the_model_beside_a_sidecar_that_has_the_claim(first: bool) -> None:
    sidecar = _sidecar("shared", "/mnt/models", subPath="llama", readOnly=True)
    volume = {"name": "shared", "persistentVolumeClaim": {"claimName": "models"}}
    pod = a_pod(annotations={"storage.kserve.io/uri": "pvc://models/llama"}, volumes=[volume])
    if first:
        pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "server"
    pod["spec"]["containers"].insert(0 if first else 1, sidecar)
    injected = _is_injected(pod, SETTINGS["as KServe ships"])
    assert [mount["mountPath"] for mount in _server_mounts(injected)] == ["/mnt/models"]
    between = changed(injected, [CHANGES[0], CHANGES[2]])
    assert _second_call(between, SETTINGS["as KServe ships"]) == between


@pytest.mark.parametrize(
    ("uri", "volume", "mount"),
    [
        (MODELCAR, {"emptyDir": {}}, {"mountPath": "/mnt"}),
        (NATIVE, {"image": {"reference": "other:9"}}, {"mountPath": "/mnt/models", "subPath": "models"}),
        (
            "pvc://models/llama",
            {"persistentVolumeClaim": {"claimName": "models"}},
            {"mountPath": "/mnt/models", "subPath": "llama"},
        ),
        ("s3://models/llama", {"emptyDir": {}}, {"mountPath": "/mnt/models"}),
    ],
    ids=["modelcar", "image volume", "claim", "download"],
)
def test_a_sidecar_that_others_add_at_the_model_path_stays_as_it_is(
    uri: str, volume: JsonObject, mount: JsonObject
) -> None:
    settings = SETTINGS["as KServe ships"]
    injected = _is_injected(a_pod(annotations={"storage.kserve.io/uri": uri}), settings)
    injected["spec"]["volumes"].append({"name": "scratch", **volume})
    injected["spec"]["containers"].insert(
        0, {"name": "telemetry", "image": "t:1", "volumeMounts": [{"name": "scratch", **mount}]}
    )
    assert _second_call(injected, settings) == injected


def test_a_claim_that_a_policy_makes_read_only_stays_as_it_is() -> None:
    pod = several(("pvc://m/a", "/mnt/a"), ("pvc://m/b", "/mnt/b"))
    pod["metadata"]["annotations"]["storage.kserve.io/readonly"] = "false"
    injected = _is_injected(pod, SETTINGS["as KServe ships"])
    for volume in injected["spec"]["volumes"]:
        volume["persistentVolumeClaim"]["readOnly"] = True
    assert _second_call(injected, SETTINGS["as KServe ships"]) == injected


def test_an_invalid_image_is_denied_beside_an_initializer_of_the_pods_own() -> None:
    own = {"name": "storage-initializer", "image": "own:1", "args": ["prepare"]}
    pod = a_pod(annotations={"storage.kserve.io/uri": "oci+modelcar://BAD REF"}, initContainers=[own])
    assert decide(pod, SETTINGS["as KServe ships"]).kind == "denied"


@pytest.mark.parametrize("uri", ["s3://models/x", "pvc://models/x"])
def test_an_initializer_of_the_pods_own_that_prevents_the_injection_is_said(uri: str) -> None:
    own = {"name": "storage-initializer", "image": "own:1", "args": ["prepare"]}
    outcome = decide(a_pod(annotations={"storage.kserve.io/uri": uri}, initContainers=[own]), {})
    assert outcome.kind == "skipped"
    assert "storage-initializer" in "".join(outcome.warnings)


@pytest.mark.parametrize("settings", ["as KServe ships", "without user id"])
def test_a_modelcar_runs_as_its_target(settings: str) -> None:
    context = {"runAsUser": 4711, "runAsGroup": 7}
    pod = a_pod(annotations={"storage.kserve.io/uri": MODELCAR})
    pod["spec"]["containers"][0]["securityContext"] = dict(context)
    injected = _is_injected(pod, SETTINGS[settings])["spec"]
    ids = {
        (each["securityContext"]["runAsUser"], each["securityContext"]["runAsGroup"])
        for each in injected["containers"] + injected["initContainers"]
    }
    assert len(ids) == 1


# --- Settings and releases that change between the calls ----------------------------------------------------------

BARE = {**KINDS, "bare image": a_pod(annotations={"storage.kserve.io/uri": "oci://registry.example.com/model:1"})}


@pytest.mark.parametrize("second", SETTINGS)
@pytest.mark.parametrize("first", SETTINGS)
@pytest.mark.parametrize("kind", BARE)
def test_settings_that_change_between_the_calls_add_nothing(kind: str, first: str, second: str) -> None:
    injected = _is_injected(BARE[kind], SETTINGS[first])
    before, after = _parts(injected), _parts(_second_call(injected, SETTINGS[second]))
    assert before[0] == after[0]
    # A file may be mounted as a directory then, or the other way round.
    assert [container for container, _ in before[1]] == [container for container, _ in after[1]]


def _recorded() -> list[tuple[Case, JsonObject]]:
    """What release 0.1.0 made of the golden cases."""
    with gzip.open(FIXTURES / "injected-by-0.1.0.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [(Case(FIXTURES / entry["case"]), entry["pod"]) for entry in found]


@pytest.mark.parametrize(("case", "pod"), _recorded(), ids=lambda value: getattr(value, "name", ""))
def test_pods_of_an_earlier_release_get_nothing_twice(case: Case, pod: JsonObject) -> None:
    for changes in ([], list(CHANGES)):
        between = changed(pod, changes)
        outcome = case.decide(between)
        assert outcome.allowed, outcome.message
        assert _parts(outcome.mutated or between) == _parts(between)
