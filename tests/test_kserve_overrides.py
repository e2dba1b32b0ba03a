"""Annotations `storage.kserve.io/*` on a ServingRuntime or an InferenceService, which KServe copies to its pods.

KServe merges the annotations of the ServingRuntime, the InferenceService and its predictor into those of the pod
(pkg/controller/v1beta1/inferenceservice/components/predictor.go), and adds its internal ones and the label.
"""

from __future__ import annotations

from tests.mutation import container, denied, initializer, kserve_pod, mount_list, mutated

ALLOWED = {"storageDefaults": {"overrides": {"image": ["registry.example.com/*"], "memoryLimit": "8Gi"}}}
RUNTIME = {"storage.kserve.io/image": "registry.example.com/initializer:2", "storage.kserve.io/memory-limit": "4Gi"}
SERVICE = {"storage.kserve.io/containers": "kserve-container,metrics", "storage.kserve.io/cpu-limit": "2"}


def test_annotations_of_runtimes_and_services_take_effect() -> None:
    pod = kserve_pod("s3://models/iris", "kserve-container", "metrics", annotations={**RUNTIME, **SERVICE})
    made = mutated(pod, ALLOWED)
    assert initializer(made)["image"] == "registry.example.com/initializer:2"
    assert initializer(made)["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    for name in ("kserve-container", "metrics"):
        assert [mount["mountPath"] for mount in mount_list(made, name)] == ["/mnt/models"]


def test_the_limits_of_the_settings_apply() -> None:
    pod = kserve_pod("s3://models/iris", annotations={"storage.kserve.io/memory-limit": "9Gi"})
    assert "8Gi" in denied(pod, ALLOWED)


def test_a_service_can_select_a_copy_of_its_claim() -> None:
    pod = kserve_pod("pvc://models/iris", annotations={"storage.kserve.io/pvc-mount": "copy"})
    assert initializer(mutated(pod))["args"] == ["/mnt/pvc/iris", "/mnt/models"]
    assert {mount["mountPath"] for mount in container(mutated(pod), "kserve-container")["volumeMounts"]} == {
        "/mnt/models",
        "/mnt/pvc",
    }
