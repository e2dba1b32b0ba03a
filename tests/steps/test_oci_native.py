"""Image volumes."""

import pytest

from tests.mutation import (
    a_pod,
    answer,
    container,
    denied,
    env,
    kserve_pod,
    mounts,
    mutated,
    plain_pod,
    several,
    volumes,
)

IMAGE = "registry.example.com/models/iris:1.0"
ON = {"storageInitializer": {"ociModelMode": "native"}}
MOUNT = {"name": "mnt-models", "subPath": "models", "readOnly": True}


def test_image_volume_is_named_after_the_mount_path():
    pod = mutated(kserve_pod(f"oci://{IMAGE}"), ON)
    assert pod["spec"] == {
        "containers": [
            {
                "name": "kserve-container",
                "image": "kserve-container:1",
                "volumeMounts": [
                    {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": True}
                ],
            }
        ],
        "volumes": [{"name": "mnt-models", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}],
    }


def test_every_target_mounts_the_image():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", "worker-container", "transformer-container", "queue-proxy"), ON)
    for target in ("worker-container", "transformer-container"):
        assert mounts(container(pod, target)) == {"/mnt/models": MOUNT}
    assert mounts(container(pod, "queue-proxy")) == {}


def test_mount_path_annotation():
    pod = mutated(plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/opt/iris"}), ON)
    assert mounts(container(pod, "server")) == {"/opt/iris": {**MOUNT, "name": "opt-iris"}}


def test_storage_uri_is_replaced_by_the_mount_path():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/opt/iris"})
    pod["spec"]["containers"][0]["env"] = [{"name": "STORAGE_URI", "value": f"oci://{IMAGE}"}]
    assert env(container(mutated(pod, ON), "server")) == {"STORAGE_URI": "/opt/iris"}


def test_read_write_is_ignored_with_a_warning():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/readonly": "false"})
    assert mounts(container(mutated(pod, ON), "server")) == {"/mnt/models": MOUNT}
    (warning,) = answer(pod, ON)["warnings"]
    assert 'storage.kserve.io/readonly "false" has no effect on an image volume' in warning


def test_volume_of_kserves_webhook_is_not_changed():
    pod = kserve_pod(f"oci://{IMAGE}")
    pod["spec"]["containers"][0]["volumeMounts"] = [{**MOUNT, "mountPath": "/mnt/models"}]
    pod["spec"]["volumes"] = [{"name": "mnt-models", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}]
    assert "patch" not in answer(pod, ON)


def test_volume_name_in_use_is_avoided():
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "mnt-models", "image": {"reference": "other:1"}}])
    mutated_pod = mutated(pod, ON)
    (name,) = volumes(mutated_pod).keys() - {"mnt-models"}
    assert name.startswith("mnt-models-")
    assert mounts(container(mutated_pod, "kserve-container"))["/mnt/models"]["name"] == name


def test_mount_path_in_use_is_denied():
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "scratch", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/mnt/models/"}]
    assert 'already mounts volume "scratch" at "/mnt/models/"' in denied(pod, ON)


def test_several_images_have_their_own_volumes():
    sources = [(f"oci://car:{number}", f"/mnt/{number}") for number in range(12)]
    assert len(volumes(mutated(several(*sources), ON))) == 12


@pytest.mark.parametrize("read_only", ["true", "false"])
def test_init_container_mounts_an_image_inside_the_download_directory(read_only):
    pod = several(("s3://b/base", "/mnt/base"), ("hf://o/m", "/mnt/lora"), ("oci://car:1", "/mnt/base/vision"))
    pod["metadata"]["annotations"]["storage.kserve.io/readonly"] = read_only
    mutated_pod = mutated(pod, ON)
    assert mounts(container(mutated_pod, "storage-initializer")) == {
        "/mnt": {"name": "mnt"},
        "/mnt/base": {"name": "mnt", "subPath": "base"},
        "/mnt/base/vision": {**MOUNT, "name": "mnt-base-vision"},
    }
    assert mounts(container(mutated_pod, "server"))["/mnt/base/vision"] == {**MOUNT, "name": "mnt-base-vision"}


def test_init_container_does_not_mount_other_images():
    pod = mutated(several(("s3://b/base", "/mnt/base"), ("oci://car:1", "/mnt/vision")), ON)
    assert mounts(container(pod, "storage-initializer")) == {"/mnt/base": {"name": "mnt-base"}}


def test_no_init_container_and_no_shared_process_namespace():
    spec = mutated(plain_pod(f"oci://{IMAGE}", hostPID=True, shareProcessNamespace=False), ON)["spec"]
    assert "initContainers" not in spec
    assert spec["shareProcessNamespace"] is False


def test_pod_without_a_model_is_not_changed():
    assert "patch" not in answer(a_pod(), ON)
