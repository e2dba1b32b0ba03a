"""The API server and Pod Security accept the pods that the webhook injects.

The pods are created with dryRun: they are defaulted, admitted and validated, but not stored.
"""

import uuid
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as run

from tests import strategies
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import Api
from tests.fixtures.record import submitted
from tests.golden import Case, injected_cases
from tests.mutation import answer, decide, kserve_pod, mutated, patched, plain_pod, response, several

GENERATED = 300
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
IMAGE = "registry.example.com/models/iris:1.0"


@pytest.fixture(scope="module")
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.namespace(f"validated-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane) -> str:
    return control_plane.namespace(f"restricted-{uuid.uuid4().hex[:8]}", RESTRICTED)


def _created(api: Api, namespace: str, pod: dict[str, Any], validation: str = "Strict") -> httpx.Response:
    metadata = {key: value for key, value in pod["metadata"].items() if key in ("labels", "annotations")}
    # Service accounts and priorities exist only in the cluster of the fixture.
    own = ("serviceAccountName", "serviceAccount", "priorityClassName", "priority")
    spec = {key: value for key, value in pod["spec"].items() if key not in own}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "generateName": "pod-"}, "spec": spec}
    return api.create_pod(namespace, body, dryRun="All", fieldValidation=validation)


def _admitted(api: Api, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as it would be stored. Fails if it is rejected."""
    response = _created(api, namespace, pod)
    assert response.status_code == 201, response.json()["message"]
    admitted: dict[str, Any] = response.json()
    return admitted


@pytest.mark.parametrize("case", injected_cases(), ids=lambda case: case.name)
def test_every_golden_pod_is_valid(api: Api, namespace: str, case: Case) -> None:
    made = case.outcome()["pod"]
    assert _admitted(api, namespace, submitted(case))
    assert _names(_admitted(api, namespace, made)) >= _names(made)


def _names(pod: dict[str, Any]) -> set[tuple[str, str]]:
    fields = ("containers", "initContainers", "volumes")
    return {(field, each["name"]) for field in fields for each in pod["spec"].get(field) or ()}


SETTINGS = {"storageInitializer": {"enableOciModelSupport": True, "uidModelcar": 1010, "caBundleConfigMapName": "ca"}}
PODS = {
    "modelcar": kserve_pod(f"oci://{IMAGE}"),
    "native": kserve_pod(f"oci+native://{IMAGE}"),
    "fetch": kserve_pod(f"oci+fetch://{IMAGE}", imagePullSecrets=[{"name": "registry"}, {"name": "other"}]),
    "job": plain_pod(f"oci://{IMAGE}", restartPolicy="Never"),
    "odd path": plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/mnt/it's $(HOME)"}),
    "ten modelcars": several(*((f"oci://car:{number}", f"/mnt/{number}/m") for number in range(10))),
    "many images": several(*((f"oci+native://car:{number}", f"/mnt/{number}") for number in range(50))),
    "mixed": several(
        (f"oci://{IMAGE}", "/srv/car"),
        ("pvc://claim/m", "/mnt/claim"),
        ("s3://b/m", "/mnt/s3"),
        (f"oci+fetch://{IMAGE}", "/mnt/fetched"),
        (f"oci+native://{IMAGE}", "/mnt/fetched/native"),
    ),
}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())
def test_reinvocation_changes_nothing(api: Api, namespace: str, pod: dict[str, Any]) -> None:
    """The injected fields carry the defaults of the API server."""
    defaulted = _admitted(api, namespace, mutated(pod, SETTINGS))
    assert "patch" not in answer(defaulted, SETTINGS)


HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("where", ["pod", "containers"])
@pytest.mark.parametrize("name", PODS)
def test_restricted_namespace_admits_injected_pods(api: Api, restricted: str, name: str, where: str) -> None:
    pod_fields = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {**PODS[name], "spec": {**PODS[name]["spec"]}}
    context = HARDENED if where == "pod" else {**HARDENED, **pod_fields}
    pod["spec"]["containers"] = [{**each, "securityContext": context} for each in pod["spec"]["containers"]]
    if where == "pod":
        pod["spec"]["securityContext"] = pod_fields
    before = _admitted(api, restricted, pod)
    after = _admitted(api, restricted, mutated(pod, SETTINGS))
    assert after["spec"] != before["spec"]


def test_api_server_rejects_modelcars_with_host_pid(api: Api, namespace: str) -> None:
    pod = mutated(PODS["modelcar"], SETTINGS)
    response = _created(api, namespace, {**pod, "spec": {**pod["spec"], "hostPID": True}})
    assert response.status_code == 422
    assert "ShareProcessNamespace and HostPID cannot both be enabled" in response.json()["message"]


def test_injection_never_makes_a_pod_invalid(api: Api, namespace: str) -> None:
    """Generated pods are denied, accepted by the API server after injection, or rejected even without injection."""
    accepted = 0

    @given(strategies.pods(), strategies.settings)
    @run(max_examples=GENERATED)
    def check(pod: dict[str, Any], settings: dict[str, Any]) -> None:
        nonlocal accepted
        outcome = decide(pod, settings)
        if not outcome.allowed or outcome.mutated is None:
            return
        made = patched(pod, response(pod, outcome))
        after = _created(api, namespace, made, validation="Ignore")
        accepted += after.is_success
        if not after.is_success:
            before = _created(api, namespace, pod, validation="Ignore")
            assert not before.is_success, after.json()["message"]

    check()
    assert accepted > GENERATED / 4, "too few of the generated pods were injected and valid"
