"""Beside KServe's own webhook: whichever runs first, the pod ends up the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.kserve import kserve_injected
from tests.mutation import JsonObject, a_container, answer, kserve_pod, mutated, patched
from webhook import annotations as keys

CLAIMS = [
    "pvc://foo",
    "pvc://foo/",
    "pvc://foo/iris",
    "pvc://foo/iris/",
    "pvc://foo//a/./b//",
    "pvc://foo/iris/m.joblib",
]
COPY = {"storageInitializer": {"enableDirectPvcVolumeMount": False}}


def _pods(uri: str, **annotations: str) -> Iterable[JsonObject]:
    containers = [a_container("kserve-container", env=[{"name": "STORAGE_URI", "value": uri}])]
    for others in ([], [a_container("transformer-container"), a_container("queue-proxy")]):
        yield kserve_pod(uri, annotations=annotations, containers=[*containers, *others])


def _arrival(pod: JsonObject) -> Any:
    """What of the pod decides how the model arrives, in any order."""
    spec = pod["spec"]
    places = {
        (item["name"], mount["name"], mount["mountPath"], mount.get("subPath", ""), mount.get("readOnly", False))
        for item in [*spec["containers"], *(spec.get("initContainers") or ())]
        for mount in item.get("volumeMounts", ())
    }
    return {
        "mounts": places,
        "volumes": sorted((volume["name"], str(volume)) for volume in spec["volumes"]),
        "inits": [(item["name"], item["image"], item["args"]) for item in spec.get("initContainers") or ()],
        "env": [item.get("env") for item in spec["containers"]],
    }


def _in_both_orders(pod: JsonObject, settings: Any = None, **kserve: bool) -> tuple[Any, Any]:
    def ours(pod: JsonObject) -> JsonObject:
        return patched(pod, answer(pod, settings))

    def theirs(pod: JsonObject) -> JsonObject:
        return kserve_injected(pod, **kserve)

    # With reinvocationPolicy IfNeeded each is called again, in the same order, when the other changed the pod.
    return _arrival(theirs(ours(theirs(ours(pod))))), _arrival(ours(theirs(ours(theirs(pod)))))


@pytest.mark.parametrize("read_only", ["true", "false"])
@pytest.mark.parametrize("uri", [*CLAIMS, "s3://bucket/model", "hf://org/model"])
def test_the_order_does_not_matter(uri: str, read_only: str) -> None:
    for pod in _pods(uri, **{keys.READ_ONLY: read_only}):
        ours_first, kserve_first = _in_both_orders(pod)
        assert ours_first == kserve_first


@pytest.mark.parametrize("uri", CLAIMS)
@pytest.mark.parametrize("copies_claims", [True, False], ids=["kserve-copies", "kserve-mounts"])
def test_the_order_does_not_matter_to_a_claim_that_is_copied(uri: str, copies_claims: bool) -> None:
    # KServe 0.16 and later mount a claim in place whatever the setting says.
    for pod in _pods(uri):
        ours_first, kserve_first = _in_both_orders(pod, COPY, copies_claims=copies_claims)
        # The init container that KServe made, which may copy from a path with slashes too many, is left alone.
        assert {**ours_first, "inits": None} == {**kserve_first, "inits": None}


@pytest.mark.parametrize("uri", CLAIMS)
@pytest.mark.parametrize(
    "annotations",
    [
        {keys.MOUNT_PATH: "/opt/model"},
        {keys.READ_ONLY: "FALSE"},
        {keys.PATH_TYPE: "directory"},
        {keys.PVC_MOUNT: "copy"},
    ],
    ids=lambda annotations: next(iter(annotations)),
)
def test_what_only_we_know_of_holds_in_both_orders(uri: str, annotations: dict[str, str]) -> None:
    for pod in _pods(uri, **annotations):
        ours_first, kserve_first = _in_both_orders(pod)
        # KServe, whenever it is called, sets STORAGE_URI to its own path of the model.
        assert {**ours_first, "env": None} == {**kserve_first, "env": None}


@pytest.mark.parametrize("uri", [*CLAIMS, "s3://bucket/model"])
def test_after_ours_kserves_webhook_changes_nothing(uri: str) -> None:
    for pod in _pods(uri):
        ours = mutated(pod)
        assert _arrival(kserve_injected(ours)) == _arrival(ours)


# --- Images -------------------------------------------------------------------------------------------------------

IMAGES = ["oci+modelcar://iris:1", "oci+native://iris:1", "oci+fetch://iris:1"]
OCI = {"storageInitializer": {"enableOciModelSupport": True}}


def _image_pods(uri: str, **annotations: str) -> Iterable[JsonObject]:
    for pod in _pods(uri, **annotations):
        pod["spec"]["containers"][0]["env"].append({"name": "MODEL_INIT_MODE", "value": "sync"})
        for secrets in ([], [{"name": "registry"}]):
            yield {**pod, "spec": {**pod["spec"], "imagePullSecrets": secrets}}


@pytest.mark.parametrize("read_only", ["true", "false"])
@pytest.mark.parametrize("uri", IMAGES)
def test_the_order_does_not_matter_to_an_image(uri: str, read_only: str) -> None:
    for pod in _image_pods(uri, **{keys.READ_ONLY: read_only}):
        ours_first, kserve_first = _in_both_orders(pod, OCI)
        assert ours_first == kserve_first


@pytest.mark.parametrize("uri", IMAGES)
def test_after_ours_kserves_webhook_adds_nothing_to_an_image(uri: str) -> None:
    for pod in _image_pods(uri):
        ours = mutated(pod, OCI)
        assert kserve_injected(ours)["spec"] == {"initContainers": [], **ours["spec"]}


@pytest.mark.parametrize("uri", IMAGES[:2])
def test_an_image_arrives_where_only_we_know_in_both_orders(uri: str) -> None:
    for pod in _image_pods(uri, **{keys.MOUNT_PATH: "/opt/models/iris"}):
        ours_first, kserve_first = _in_both_orders(pod, OCI)
        assert ours_first == kserve_first
