"""Init containers that get the model: they mount it as servers do, and run after it has arrived."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.mutation import (
    JsonObject,
    a_container,
    a_pod,
    answer,
    container,
    decide,
    denied,
    env,
    kserve_pod,
    mount_list,
    mounts,
    mutated,
    names,
    plain_pod,
    several,
)
from tests.reinvocation import CHANGES, Change, changed
from webhook import annotations as keys

S3 = "s3://bucket/model"
OCI = {"storageInitializer": {"enableModelcar": True}}
MODELCAR = "oci+modelcar://registry.example.com/model:1"


def _pod(uri: str, order: str, targets: str, **annotations: str) -> JsonObject:
    """A pod with a server and init containers, such as `a proxy+ b`. A plus marks a native sidecar."""
    inits = [
        a_container(name.rstrip("+"), **({"restartPolicy": "Always"} if name.endswith("+") else {}))
        for name in order.split()
    ]
    return plain_pod(uri, annotations={keys.CONTAINERS: targets, **annotations}, initContainers=inits)


@pytest.mark.parametrize(
    ("before", "targets", "after"),
    [
        ("build", "build", "storage-initializer build"),
        ("build", "server,build", "storage-initializer build"),
        ("a build b", "build", "a storage-initializer build b"),
        ("build check", "check,build", "storage-initializer build check"),
        ("proxy+ build", "build", "proxy storage-initializer build"),
        ("a proxy+ b build", "build", "a proxy b storage-initializer build"),
        ("build proxy+", "build", "storage-initializer build proxy"),
        ("proxy+ build late+", "build", "proxy storage-initializer build late"),
        ("serve+", "serve", "storage-initializer serve"),
        ("proxy+ serve+", "serve", "proxy storage-initializer serve"),
    ],
)
def test_the_download_stands_before_the_first_target_and_after_sidecars(before: str, targets: str, after: str) -> None:
    assert names(mutated(_pod(S3, before, targets))["spec"]["initContainers"]) == after.split()


@pytest.mark.parametrize("uri", [S3, "pvc://models/llama", "pvc://models/model.onnx", "oci+native://r.example.com/m:1"])
@pytest.mark.parametrize("annotations", [{}, {keys.PVC_MOUNT: "copy"}, {keys.READ_ONLY: "false"}])
def test_an_init_container_mounts_the_model_as_a_server_does(uri: str, annotations: Any) -> None:
    pod = mutated(_pod(uri, "build", "server,build", **annotations), OCI)
    assert mount_list(pod, "build") == mount_list(pod, "server") != []


def test_an_init_container_mounts_the_shared_copy() -> None:
    pod = mutated(_pod(S3, "build", "server,build", **{keys.CACHE: "pvc://cache/models"}))
    assert mount_list(pod, "build") == mount_list(pod, "server") != []
    assert names(pod["spec"]["initContainers"]) == ["storage-initializer", "build"]


def test_init_containers_alone_get_the_model() -> None:
    pod = mutated(_pod(S3, "build", "build"))
    assert "/mnt/models" in mounts(container(pod, "build"))
    assert mount_list(pod, "server") == []


def test_an_init_container_of_kserves_pods_gets_the_model() -> None:
    annotations = {keys.CONTAINERS: "kserve-container,build"}
    pod = mutated(kserve_pod(S3, annotations=annotations, initContainers=[a_container("build")]))
    assert mount_list(pod, "build") == mount_list(pod, "kserve-container") != []


def test_storage_uri_of_an_init_container_is_the_mount_path() -> None:
    pod = _pod(S3, "build", "build")
    pod["spec"]["initContainers"][0]["env"] = [{"name": "STORAGE_URI", "value": S3}]
    assert env(container(mutated(pod), "build"))["STORAGE_URI"] == "/mnt/models"


def test_a_modelcar_is_ready_before_an_init_container_reads_from_it() -> None:
    pod = mutated(_pod(MODELCAR, "proxy+ build", "build,server"), OCI)
    assert names(pod["spec"]["initContainers"]) == ["proxy", "modelcar-init", "modelcar", "build"]
    modelcar = container(pod, "modelcar")
    assert modelcar["restartPolicy"] == "Always"
    assert modelcar["startupProbe"]["exec"]["command"] == ["test", "-e", "/mnt/models"]
    assert mount_list(pod, "build") == mount_list(pod, "server") == modelcar["volumeMounts"]


def test_an_init_container_cannot_read_from_a_modelcar_of_kserves_webhook() -> None:
    link = {"name": "kserve-provision-location", "mountPath": "/mnt"}
    script = "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"
    modelcar = a_container("modelcar", args=["sh", "-c", script], volumeMounts=[link])
    pod = kserve_pod(MODELCAR, annotations={keys.CONTAINERS: "build"}, initContainers=[a_container("build")])
    pod["spec"]["containers"].append(modelcar)
    pod["spec"]["volumes"] = [{"name": "kserve-provision-location", "emptyDir": {}}]
    assert 'init container "build" cannot read the model' in denied(pod, OCI)


@pytest.mark.parametrize("missing", ["biuld", "storage-initializer"])
def test_a_name_that_the_pod_does_not_have_is_denied(missing: str) -> None:
    assert f'names "{missing}", which is not a container of the pod' in denied(_pod(S3, "build", f"build,{missing}"))


def test_several_models_for_an_init_container() -> None:
    pod = several((S3, "/mnt/a"), (MODELCAR, "/car/b"), ("pvc://c/d", "/mnt/d"))
    pod["metadata"]["annotations"][keys.CONTAINERS] = "server,build"
    pod["spec"]["initContainers"] = [a_container("build")]
    after = mutated(pod, OCI)
    assert mount_list(after, "build") == mount_list(after, "server")
    assert names(after["spec"]["initContainers"]) == ["modelcar-init", "modelcar", "storage-initializer", "build"]


def test_a_default_container_that_is_an_init_container_is_not_chosen() -> None:
    pod = a_pod(annotations={keys.URI: S3, keys.DEFAULT_CONTAINER: "build"}, initContainers=[a_container("build")])
    assert mount_list(mutated(pod), "build") == []
    assert 'default-container "build" is an init container: container "server" gets' in answer(pod)["warnings"][0]


@given(strategies.pods(), strategies.settings, st.lists(st.sampled_from(CHANGES), max_size=6, unique=True))
def test_the_download_stays_before_its_targets(pod: JsonObject, settings: Any, changes: list[Change]) -> None:
    pod["metadata"]["annotations"][keys.CONTAINERS] = "warm-up"
    pod["spec"]["initContainers"] = [a_container("istio-init", restartPolicy="Always"), a_container("warm-up")]
    first = decide(pod, settings)
    if first.mutated is None:
        return
    between = changed(first.mutated, changes)
    second = decide(between, settings)
    assert second.allowed, second.message
    order = names((second.mutated or between)["spec"]["initContainers"])
    ours = [name for name in order if name == "storage-initializer" or name.startswith("modelcar")]
    assert order.index("istio-init") < min(map(order.index, ours), default=99)
    assert max(map(order.index, ours), default=0) <= order.index("warm-up")
