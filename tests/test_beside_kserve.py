"""With KServe's own webhook in the same cluster, the result does not depend on the order of the two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kserve import kserve_injected
from tests.mutation import (
    JsonObject,
    a_container,
    answer,
    container,
    kserve_pod,
    mounts,
    mutated,
    names,
    patched,
)
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


def _delivery(pod: JsonObject) -> Any:
    """The fields of the pod that deliver the model, independent of order."""
    spec = pod["spec"]
    mounts = {
        (item["name"], mount["name"], mount["mountPath"], mount.get("subPath", ""), mount.get("readOnly", False))
        for item in [*spec["containers"], *(spec.get("initContainers") or ())]
        for mount in item.get("volumeMounts", ())
    }
    return {
        "mounts": mounts,
        "volumes": sorted((volume["name"], str(volume)) for volume in spec["volumes"]),
        "inits": [(item["name"], item["image"], item["args"]) for item in spec.get("initContainers") or ()],
        "env": [item.get("env") for item in spec["containers"]],
    }


def _in_both_orders(pod: JsonObject, settings: Any = None, **kserve: bool) -> tuple[Any, Any]:
    def ours(pod: JsonObject) -> JsonObject:
        return patched(pod, answer(pod, settings))

    def theirs(pod: JsonObject) -> JsonObject:
        return kserve_injected(pod, **kserve)

    # With reinvocationPolicy IfNeeded, each webhook is called again after the other changed the pod.
    return _delivery(theirs(ours(theirs(ours(pod))))), _delivery(ours(theirs(ours(theirs(pod)))))


@pytest.mark.parametrize("read_only", ["true", "false"])
@pytest.mark.parametrize("uri", [*CLAIMS, "s3://bucket/model", "hf://org/model"])
def test_the_order_does_not_matter(uri: str, read_only: str) -> None:
    for pod in _pods(uri, **{keys.READ_ONLY: read_only}):
        ours_first, kserve_first = _in_both_orders(pod)
        assert ours_first == kserve_first


@pytest.mark.parametrize("uri", CLAIMS)
@pytest.mark.parametrize("copies_claims", [True, False], ids=["kserve-copies", "kserve-mounts"])
def test_the_order_does_not_matter_for_a_copied_claim(uri: str, copies_claims: bool) -> None:
    # KServe 0.16 and later ignore the setting and mount claims.
    for pod in _pods(uri):
        ours_first, kserve_first = _in_both_orders(pod, COPY, copies_claims=copies_claims)
        # An init container of KServe is not changed. Its path may have redundant slashes.
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
def test_the_order_does_not_matter_for_annotations_that_kserve_does_not_support(
    uri: str, annotations: dict[str, str]
) -> None:
    for pod in _pods(uri, **annotations):
        ours_first, kserve_first = _in_both_orders(pod)
        # KServe sets STORAGE_URI to its own mount path on every call.
        assert {**ours_first, "env": None} == {**kserve_first, "env": None}


@pytest.mark.parametrize("uri", [*CLAIMS, "s3://bucket/model"])
def test_kserves_webhook_changes_nothing_after_this_one(uri: str) -> None:
    for pod in _pods(uri):
        ours = mutated(pod)
        assert _delivery(kserve_injected(ours)) == _delivery(ours)


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
def test_the_order_does_not_matter_for_an_image(uri: str, read_only: str) -> None:
    for pod in _image_pods(uri, **{keys.READ_ONLY: read_only}):
        ours_first, kserve_first = _in_both_orders(pod, OCI)
        assert ours_first == kserve_first


@pytest.mark.parametrize("uri", IMAGES)
def test_kserves_webhook_adds_nothing_for_an_image_after_this_one(uri: str) -> None:
    for pod in _image_pods(uri):
        ours = mutated(pod, OCI)
        assert kserve_injected(ours)["spec"] == {"initContainers": [], **ours["spec"]}


@pytest.mark.parametrize("uri", IMAGES[:2])
def test_the_order_does_not_matter_for_an_image_with_a_mount_path(uri: str) -> None:
    for pod in _image_pods(uri, **{keys.MOUNT_PATH: "/opt/models/iris"}):
        ours_first, kserve_first = _in_both_orders(pod, OCI)
        assert ours_first == kserve_first


# --- LLMInferenceServices -----------------------------------------------------------------------------------------
# KServe's controller injects storage into their pods itself, not its webhook. The pods have no label of KServe's.

LLM_PODS = Path(__file__).parent / "fixtures" / "llmisvc"
INJECTED_BY_THE_CONTROLLER = ["s3", "pvc", "hf-lora", "oci"]
LORA = [
    {"uri": "hf://org/llama", "mountPath": "/mnt/models"},
    {"uri": "pvc://adapters/chat", "mountPath": "/mnt/lora/chat"},
]


def _llm_pod(name: str, **annotations: str) -> JsonObject:
    pod: JsonObject = yaml.safe_load((LLM_PODS / f"{name}.yaml").read_text(encoding="utf-8"))
    pod["metadata"]["annotations"] = annotations
    return pod


@pytest.mark.parametrize("name", [*INJECTED_BY_THE_CONTROLLER, "initializer-off"])
def test_an_llm_pod_without_an_annotation_passes_unchanged(name: str) -> None:
    found = answer(_llm_pod(name))
    assert "patch" not in found
    assert "warnings" not in found


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("s3", "s3://models/llama"),
        ("pvc", "pvc://models/llama"),
        ("oci", "oci+modelcar://registry.example.com/llama:1"),
    ],
)
def test_an_llm_pod_with_its_model_gets_no_second_one(name: str, uri: str) -> None:
    pod = _llm_pod(name, **{keys.URI: uri})
    found = mutated(pod, OCI)
    # The command that checks a modelcar is this webhook's own.
    assert {**_delivery(found), "inits": None} == {**_delivery(pod), "inits": None}
    for kind in ("containers", "initContainers"):
        assert names(found["spec"][kind]) == names(pod["spec"][kind])


@pytest.mark.parametrize("uri", ["s3://models/llama", "hf://org/llama", "pvc://models/llama", "oci+native://llama:1"])
def test_an_llm_pod_without_kserves_initializer_gets_its_model(uri: str) -> None:
    pod = mutated(_llm_pod("initializer-off", **{keys.URI: uri}), OCI)
    assert mounts(container(pod, "main"))["/mnt/models"]["readOnly"] is True
    inits = names(pod["spec"]["initContainers"])
    is_download = uri.startswith(("s3", "hf"))
    assert inits == ["llm-d-routing-sidecar", *(["storage-initializer"] if is_download else [])]
    if is_download:
        assert container(pod, "storage-initializer")["args"] == [uri, "/mnt/models"]


def test_an_llm_pod_without_kserves_initializer_gets_its_adapters() -> None:
    pod = mutated(_llm_pod("initializer-off", **{keys.URIS: json.dumps(LORA)}))
    server = mounts(container(pod, "main"))
    assert server["/mnt/lora/chat"]["subPath"] == "chat"
    assert server["/mnt/models"]["readOnly"] is True
    assert container(pod, "storage-initializer")["args"] == ["hf://org/llama", "/mnt/models"]
