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


def test_the_image_is_a_volume_named_after_the_path():
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


def test_every_target_mounts_it():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", "worker-container", "transformer-container", "queue-proxy"), ON)
    for target in ("worker-container", "transformer-container"):
        assert mounts(container(pod, target)) == {"/mnt/models": MOUNT}
    assert mounts(container(pod, "queue-proxy")) == {}


def test_the_model_goes_where_the_pod_says():
    pod = mutated(plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/opt/iris"}), ON)
    assert mounts(container(pod, "server")) == {"/opt/iris": {**MOUNT, "name": "opt-iris"}}


def test_custom_servers_are_told_where_it_is():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/opt/iris"})
    pod["spec"]["containers"][0]["env"] = [{"name": "STORAGE_URI", "value": f"oci://{IMAGE}"}]
    assert env(container(mutated(pod, ON), "server")) == {"STORAGE_URI": "/opt/iris"}


def test_it_stays_read_only_and_the_author_is_told():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/readonly": "false"})
    assert mounts(container(mutated(pod, ON), "server")) == {"/mnt/models": MOUNT}
    (warning,) = answer(pod, ON)["warnings"]
    assert 'storage.kserve.io/readonly "false" has no effect on an image volume' in warning


def test_a_volume_that_kserve_added_is_left_alone():
    pod = kserve_pod(f"oci://{IMAGE}")
    pod["spec"]["containers"][0]["volumeMounts"] = [{**MOUNT, "mountPath": "/mnt/models"}]
    pod["spec"]["volumes"] = [{"name": "mnt-models", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}]
    assert "patch" not in answer(pod, ON)


def test_a_volume_name_that_is_taken_is_not_used():
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "mnt-models", "image": {"reference": "other:1"}}])
    made = mutated(pod, ON)
    (name,) = volumes(made).keys() - {"mnt-models"}
    assert name.startswith("mnt-models-")
    assert mounts(container(made, "kserve-container"))["/mnt/models"]["name"] == name


def test_a_mount_path_that_is_taken_is_named():
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "scratch", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/mnt/models/"}]
    assert 'already mounts volume "scratch" at "/mnt/models/"' in denied(pod, ON)


def test_each_of_several_has_its_own_volume():
    sources = [(f"oci://car:{number}", f"/mnt/{number}") for number in range(12)]
    assert len(volumes(mutated(several(*sources), ON))) == 12


@pytest.mark.parametrize("read_only", ["true", "false"])
def test_its_mount_point_is_made_before_the_downloads_are_read_only(read_only):
    pod = several(("s3://b/base", "/mnt/base"), ("hf://o/m", "/mnt/lora"), ("oci://car:1", "/mnt/base/vision"))
    pod["metadata"]["annotations"]["storage.kserve.io/readonly"] = read_only
    made = mutated(pod, ON)
    assert mounts(container(made, "storage-initializer")) == {
        "/mnt": {"name": "mnt"},
        "/mnt/base/vision": {**MOUNT, "name": "mnt-base-vision"},
    }
    assert mounts(container(made, "server"))["/mnt/base/vision"] == {**MOUNT, "name": "mnt-base-vision"}


def test_the_initializer_does_not_mount_what_lies_elsewhere():
    pod = mutated(several(("s3://b/base", "/mnt/base"), ("oci://car:1", "/mnt/vision")), ON)
    assert mounts(container(pod, "storage-initializer")) == {"/mnt/base": {"name": "mnt-base"}}


def test_no_initializer_and_no_shared_processes():
    spec = mutated(plain_pod(f"oci://{IMAGE}", hostPID=True, shareProcessNamespace=False), ON)["spec"]
    assert "initContainers" not in spec
    assert spec["shareProcessNamespace"] is False


def test_a_pod_without_a_model_is_left_alone():
    assert "patch" not in answer(a_pod(), ON)
