"""Annotations of ours on a ServingRuntime or an InferenceService: KServe copies both onto the pods that it makes.

KServe merges the annotations of the ServingRuntime, the InferenceService and its predictor into those of the pod
(pkg/controller/v1beta1/inferenceservice/components/predictor.go), beside its internal ones and the label.
"""

from __future__ import annotations

from tests.mutation import container, denied, initializer, kserve_pod, mount_list, mutated

ALLOWED = {"storageDefaults": {"overrides": {"image": ["registry.example.com/*"], "memoryLimit": "8Gi"}}}
RUNTIME = {"storage.kserve.io/image": "registry.example.com/initializer:2", "storage.kserve.io/memory-limit": "4Gi"}
SERVICE = {"storage.kserve.io/containers": "kserve-container,metrics", "storage.kserve.io/cpu-limit": "2"}


def test_a_runtimes_and_a_services_annotations_reach_the_init_container_and_the_targets() -> None:
    pod = kserve_pod("s3://models/iris", "kserve-container", "metrics", annotations={**RUNTIME, **SERVICE})
    made = mutated(pod, ALLOWED)
    assert initializer(made)["image"] == "registry.example.com/initializer:2"
    assert initializer(made)["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    for name in ("kserve-container", "metrics"):
        assert [mount["mountPath"] for mount in mount_list(made, name)] == ["/mnt/models"]


def test_the_ceilings_hold_for_them_too() -> None:
    pod = kserve_pod("s3://models/iris", annotations={"storage.kserve.io/memory-limit": "9Gi"})
    assert "8Gi" in denied(pod, ALLOWED)


def test_a_service_may_say_how_its_claim_arrives() -> None:
    pod = kserve_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"})
    assert initializer(mutated(pod))["args"] == ["/mnt/pvc/iris", "/mnt/models"]
    assert {mount["mountPath"] for mount in container(mutated(pod), "kserve-container")["volumeMounts"]} == {
        "/mnt/models",
        "/mnt/pvc",
    }
