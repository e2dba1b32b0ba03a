"""Modelcars: OCI images that run as sidecars."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.mutation import (
    KSERVE,
    a_container,
    a_pod,
    answer,
    container,
    denied,
    env,
    kserve_pod,
    mounts,
    mutated,
    names,
    plain_pod,
    several,
    volumes,
)

IMAGE = "registry.example.com/models/iris:1.0"
ON = {"storageInitializer": {"enableModelcar": True}}
HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _with(**settings):
    return {"storageInitializer": {"enableModelcar": True, **settings}}


def test_sidecar_links_the_model_into_a_shared_volume():
    pod = mutated(kserve_pod(f"oci://{IMAGE}"), ON)
    assert container(pod, "modelcar") == {
        "name": "modelcar",
        "image": IMAGE,
        "args": ["sh", "-c", "ln -sfn /proc/$$$$/root/models /mnt/models && sleep infinity"],
        "resources": {"requests": {"cpu": "10m", "memory": "15Mi"}, "limits": {"cpu": "10m", "memory": "15Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt"}],
        "securityContext": {**HARDENED, "readOnlyRootFilesystem": True},
    }
    assert volumes(pod) == {"kserve-provision-location": {"emptyDir": {}}}
    assert pod["spec"]["shareProcessNamespace"] is True


def test_targets_mount_the_link_and_wait_for_it():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", "kserve-container", "transformer-container", "queue-proxy"), ON)
    for target in ("kserve-container", "transformer-container"):
        assert mounts(container(pod, target)) == {"/mnt": {"name": "kserve-provision-location"}}
        assert env(container(pod, target)) == {"MODEL_INIT_MODE": "async"}
    assert container(pod, "queue-proxy") == {"name": "queue-proxy", "image": "queue-proxy:1"}


def test_init_container_checks_the_image():
    pod = mutated(kserve_pod(f"oci://{IMAGE}"), ON)
    (init,) = pod["spec"]["initContainers"]
    assert (init["name"], init["image"]) == ("modelcar-init", IMAGE)
    assert init["resources"]["limits"] == {"cpu": "10m", "memory": "15Mi"}
    assert init["securityContext"] == HARDENED


def test_worker_without_a_server_is_a_target():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", "worker-container"), ON)
    assert "/mnt" in mounts(container(pod, "worker-container"))


@pytest.mark.parametrize(
    "settings", [ON, {"storageInitializer": {"enableOciModelSupport": True}}, _with(ociModelMode="native")]
)
def test_scheme_takes_precedence_over_the_settings(settings):
    assert "modelcar" in names(mutated(kserve_pod(f"oci+modelcar://{IMAGE}"), settings)["spec"]["containers"])


def test_resources_from_the_settings():
    pod = mutated(kserve_pod(f"oci://{IMAGE}"), _with(cpuModelcar="20m", memoryModelcar="32Mi"))
    for name in ("modelcar", "modelcar-init"):
        resources = container(pod, name)["resources"]
        assert resources["requests"] == resources["limits"] == {"cpu": "20m", "memory": "32Mi"}


@pytest.mark.parametrize("name", ["modelcar", "modelcar-init", "kserve-container"])
def test_all_containers_run_with_the_configured_user(name):
    pod = kserve_pod(f"oci://{IMAGE}")
    pod["spec"]["containers"][0]["securityContext"] = {"runAsUser": 1000, "runAsNonRoot": True}
    context = container(mutated(pod, _with(uidModelcar=1010)), name)["securityContext"]
    assert context["runAsUser"] == 1010
    assert context["runAsNonRoot"] is True


def test_user_is_not_set_by_default():
    pod = mutated(kserve_pod(f"oci://{IMAGE}"), ON)
    assert "runAsUser" not in container(pod, "modelcar")["securityContext"]
    assert "securityContext" not in container(pod, "kserve-container")


def test_writable_model():
    pod = mutated(kserve_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/readonly": "false"}), ON)
    assert "readOnlyRootFilesystem" not in container(pod, "modelcar")["securityContext"]


@pytest.mark.parametrize("uid", [{}, {"uidModelcar": 1010}])
@pytest.mark.parametrize("chosen", [{}, {"runAsUser": 1, "runAsGroup": 2}])
@pytest.mark.parametrize("of_pod", [{}, {"runAsUser": 3, "runAsGroup": 4}])
@pytest.mark.parametrize("of_server", [{}, {"runAsGroup": 6}, {"runAsUser": 5}, {"runAsUser": 5, "runAsGroup": 6}])
@pytest.mark.parametrize("job", [{}, {"restartPolicy": "Never"}])
def test_modelcar_has_the_user_and_group_of_its_target(uid, chosen, of_pod, of_server, job):
    # Only a process with the same ids can read /proc/PID/root (proc(5)). Without an id, that of the image counts.
    server = a_container(securityContext=of_server)
    pod = plain_pod(f"oci://{IMAGE}", containers=[server], securityContext=of_pod, **job)
    settings = {**_with(**uid), "storageDefaults": {"securityContext": chosen} if chosen else {}}
    pod = mutated(pod, settings)
    assert _ids(pod, "modelcar") == _ids(pod, "server")


def _ids(pod, name):
    context = {**pod["spec"]["securityContext"], **container(pod, name).get("securityContext", {})}
    return context.get("runAsUser"), context.get("runAsGroup")


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({"runAsGroup": 1}, {"runAsGroup": 2}, "runAsGroup"),
        ({"runAsGroup": 1}, {}, "runAsGroup"),
        ({}, {"runAsGroup": 2}, "runAsGroup"),
        ({}, {"runAsUser": 5}, "runAsUser"),
        ({"runAsGroup": 1, "runAsUser": 5}, {"runAsGroup": 1, "runAsUser": 5}, None),
        ({}, {}, None),
    ],
)
def test_targets_with_other_ids_are_warned_about(first, second, field):
    containers = [a_container("a", securityContext=first), a_container("b", securityContext=second)]
    pod = plain_pod(f"oci://{IMAGE}", containers=containers, annotations={"storage.kserve.io/containers": "a,b"})
    warnings = answer(pod, ON).get("warnings", [])
    assert len(warnings) == bool(field)
    assert all('container "b" cannot read the model' in warning and field in warning for warning in warnings)


def test_one_user_for_all_targets_is_not_warned_about():
    containers = [a_container("a", securityContext={"runAsUser": 1}), a_container("b")]
    pod = plain_pod(f"oci://{IMAGE}", containers=containers, annotations={"storage.kserve.io/containers": "a,b"})
    assert "warnings" not in answer(pod, _with(uidModelcar=1010))


# --- Pods of Jobs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_pod_of_a_job_gets_a_native_sidecar(policy):
    pod = mutated(plain_pod(f"oci://{IMAGE}", restartPolicy=policy), ON)
    assert names(pod["spec"]["containers"]) == ["server"]
    check, sidecar = pod["spec"]["initContainers"]
    assert (check["name"], sidecar["name"]) == ("modelcar-init", "modelcar")
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["exec"]["command"] == ["test", "-e", "/mnt/models"]
    assert sidecar["securityContext"] == {**HARDENED, "readOnlyRootFilesystem": True}


def test_download_of_a_job_starts_after_the_modelcar():
    pod = several((f"oci://{IMAGE}", "/mnt/base"), ("s3://b/lora", "/models/lora"), restartPolicy="Never")
    assert names(mutated(pod, ON)["spec"]["initContainers"]) == ["modelcar-init", "modelcar", "storage-initializer"]


# --- Existing fields ------------------------------------------------------------------------------------------------


def _after_kserve(**annotations):
    """A pod after KServe's webhook, with the API server's defaults."""
    pod = kserve_pod(f"oci://{IMAGE}", annotations=annotations)
    server, link = pod["spec"]["containers"][0], {"name": "kserve-provision-location", "mountPath": "/mnt"}
    server |= {"env": [{"name": "MODEL_INIT_MODE", "value": "async"}], "volumeMounts": [link]}
    car = {
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "10m", "memory": "15Mi"}, "limits": {"cpu": "10m", "memory": "15Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    command = ["sh", "-c", "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"]
    token = {"name": "kube-api-access-7xq2v", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    pod["spec"]["containers"].append({"name": "modelcar", **car, "args": command, "volumeMounts": [link, token]})
    pod["spec"]["initContainers"] = [{"name": "modelcar-init", **car, "args": ["sh", "-c", "[ -d /models ]"]}]
    pod["spec"]["volumes"] = [{"name": "kserve-provision-location", "emptyDir": {}}]
    pod["spec"]["shareProcessNamespace"] = True
    return pod


@pytest.mark.parametrize(
    "annotations",
    [{}, {"storage.kserve.io/readonly": "false"}, {"storage.kserve.io/mount-path": "/opt/models/iris"}],
)
def test_pod_after_kserves_webhook_gets_the_same_containers(annotations):
    after_kserve, expected = (
        mutated(_after_kserve(**annotations), ON),
        mutated(kserve_pod(f"oci://{IMAGE}", annotations=annotations), ON),
    )
    for name in ("modelcar", "modelcar-init", "kserve-container"):
        left, right = dict(container(after_kserve, name)), dict(container(expected, name))
        left.pop("imagePullPolicy", None)
        left["volumeMounts"] = [each for each in left.get("volumeMounts", []) if "kube-api" not in each["name"]]
        assert left == {"volumeMounts": [], **right}
    assert volumes(after_kserve) == volumes(expected)


def test_model_init_mode_is_replaced():
    pod = kserve_pod(f"oci://{IMAGE}")
    pod["spec"]["containers"][0]["env"] = [{"name": "MODEL_INIT_MODE", "value": "sync"}, {"name": "A", "value": "b"}]
    assert container(mutated(pod, ON), "kserve-container")["env"] == [
        {"name": "MODEL_INIT_MODE", "value": "async"},
        {"name": "A", "value": "b"},
    ]


def test_modelcar_is_not_a_target():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"kubectl.kubernetes.io/default-container": "modelcar"})
    assert "env" not in container(mutated(pod, ON), "modelcar")


@pytest.mark.parametrize("field", ["containers", "initContainers"])
@pytest.mark.parametrize("name", ["modelcar", "modelcar-init"])
def test_existing_container_with_another_image_is_denied(field, name):
    pod = kserve_pod(f"oci://{IMAGE}")
    pod["spec"].setdefault(field, []).append({"name": name, "image": "car:2"})
    assert f'already has a container "{name}" in spec.{field}' in denied(pod, ON)


def test_existing_volume_of_another_type_is_denied():
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "kserve-provision-location", "secret": {"secretName": "s"}}])
    assert 'already has a volume "kserve-provision-location", secret "s"' in denied(pod, ON)


@pytest.mark.parametrize("path", ["/mnt", "/mnt/", "/mnt/models", "/mnt/models/", "/mnt/models/cache"])
def test_mount_that_hides_the_link_is_denied(path):
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "scratch", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": path}]
    assert f'container "kserve-container" already mounts volume "scratch" at "{path}"' in denied(pod, ON)


@pytest.mark.parametrize("path", ["/mnt/models-2", "/mnt/cache", "/opt"])
def test_other_mounts_are_kept(path):
    pod = kserve_pod(f"oci://{IMAGE}", volumes=[{"name": "scratch", "emptyDir": {}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": path}]
    assert mounts(container(mutated(pod, ON), "kserve-container"))[path] == {"name": "scratch"}


# --- Processes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [({"hostPID": True}, "hostPID: true"), ({"shareProcessNamespace": False}, "shareProcessNamespace: false")],
)
def test_pod_without_a_shared_process_namespace_is_denied(spec, words):
    message = denied(kserve_pod(f"oci://{IMAGE}", **spec), ON)
    assert words in message
    assert "oci+native://" in message


def test_windows_pod_is_denied():
    assert "use oci+fetch://" in denied(plain_pod(f"oci://{IMAGE}", os={"name": "windows"}), ON)


@pytest.mark.parametrize("spec", [{"hostPID": False}, {"shareProcessNamespace": True}, {"shareProcessNamespace": None}])
def test_process_namespace_is_shared(spec):
    assert mutated(kserve_pod(f"oci://{IMAGE}", **spec), ON)["spec"]["shareProcessNamespace"] is True


# --- Mount paths ----------------------------------------------------------------------------------------------------


def test_mount_path_annotation():
    pod = mutated(plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/srv/models/iris"}), ON)
    assert container(pod, "modelcar")["args"][-1] == (
        "ln -sfn /proc/$$$$/root/models /srv/models/iris && sleep infinity"
    )
    assert "/srv/models" in mounts(container(pod, "server"))


def test_mount_path_in_the_root_directory_is_denied():
    pod = plain_pod(f"oci://{IMAGE}", annotations={"storage.kserve.io/mount-path": "/models"})
    assert 'cannot be linked at "/models"' in denied(pod, ON)


def test_several_modelcars_are_numbered():
    pod = mutated(several(("oci://base:1", "/mnt/base/m"), ("oci://lora:2", "/mnt/lora/m")), ON)
    assert names(pod["spec"]["containers"]) == ["server", "modelcar", "modelcar-1"]
    assert names(pod["spec"]["initContainers"]) == ["modelcar-init", "modelcar-init-1"]
    assert mounts(container(pod, "server")) == {
        "/mnt/base": {"name": "kserve-provision-location"},
        "/mnt/lora": {"name": "kserve-provision-location-1"},
    }
    assert container(pod, "modelcar-1")["image"] == "lora:2"


def test_links_in_one_directory_share_a_volume():
    pod = mutated(several(("oci://base:1", "/mnt/base"), ("oci://lora:2", "/mnt/lora")), ON)
    assert volumes(pod) == {"kserve-provision-location": {"emptyDir": {}}}
    assert mounts(container(pod, "server")) == {"/mnt": {"name": "kserve-provision-location"}}
    assert mounts(container(pod, "modelcar-1")) == {"/mnt": {"name": "kserve-provision-location"}}


def test_modelcars_downloads_claims_and_images_in_one_pod():
    pod = mutated(
        several(
            ("oci://base:1", "/mnt/base"),
            ("s3://bucket/lora", "/mnt/models"),
            ("pvc://claim/tokens", "/mnt/tokens"),
            ("oci+native://vision:1", "/mnt/vision"),
        ),
        ON,
    )
    assert mounts(container(pod, "server")) == {
        "/mnt": {"name": "kserve-provision-location"},
        "/mnt/models": {"name": "mnt-models", "readOnly": True},
        "/mnt/tokens": {"name": "mnt-tokens", "subPath": "tokens", "readOnly": True},
        "/mnt/vision": {"name": "mnt-vision", "subPath": "models", "readOnly": True},
    }
    assert container(pod, "storage-initializer")["args"] == ["s3://bucket/lora", "/mnt/models"]
    assert mounts(container(pod, "storage-initializer")) == {"/mnt/models": {"name": "mnt-models"}}


@pytest.mark.parametrize(
    ("path", "downloads"),
    [("/mnt/c", ["/mnt/a", "/mnt/b"]), ("/mnt/c/m", ["/mnt/a", "/mnt/b"]), ("/mnt/a/c", ["/mnt/a/x", "/mnt/b"])],
)
def test_link_inside_the_download_directory_is_denied(path, downloads):
    pod = several(("oci://car:1", path), *((f"s3://b{download}", download) for download in downloads))
    message = denied(pod, ON)
    assert f'entry 1: a modelcar cannot be linked at "{path}"' in message
    assert 'the download directory "/mnt"' in message


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("oci://car:1", "s3://b/m"),
        ("oci://car:1", "pvc://claim"),
        ("oci://car:1", "oci://car:2"),
        ("oci+native://car:1", "s3://b/m"),
        ("oci+native://car:1", "oci://car:2"),
        ("pvc://claim", "oci://car:2"),
        ("s3://b/m", "oci://car:2"),
    ],
)
def test_nested_mount_path_is_denied(outer, inner):
    message = denied(several((outer, "/mnt/a"), (inner, "/mnt/a/b/c")), ON)
    assert 'mount path "/mnt/a/b/c" is inside "/mnt/a"' in message


def test_more_than_ten_modelcars_are_denied():
    sources = [(f"oci://car:{number}", f"/mnt/{number}") for number in range(11)]
    assert len(mutated(several(*sources[:10]), ON)["spec"]["initContainers"]) == 10
    assert "requests 11 modelcars" in denied(several(*sources), ON)


# --- Running commands -----------------------------------------------------------------------------------------------


def _expanded(argument):
    """An argument as the kubelet expands it (Kubernetes: Container.args)."""
    return re.sub(r"\$\$|\$\([\w.-]+\)", lambda found: "$" if found[0] == "$$" else "a variable's value", argument)


@pytest.mark.parametrize("name", ["models", "a b", "it's", "$(HOME)", "$$x", "a&&b;c", '"q"', "`id`"])
def test_link_points_to_the_root_of_the_sidecar(tmp_path, name):
    path = str(tmp_path / name)
    pod = mutated(plain_pod("oci://car:1", annotations={"storage.kserve.io/mount-path": path}), ON)
    command = [_expanded(argument) for argument in container(pod, "modelcar")["args"]]
    with subprocess.Popen(command, start_new_session=True) as sidecar:
        try:
            while not Path(path).is_symlink() and sidecar.poll() is None:
                time.sleep(0.01)
            assert Path(path).readlink() == Path(f"/proc/{sidecar.pid}/root/models")
        finally:
            os.killpg(sidecar.pid, signal.SIGKILL)


@pytest.mark.parametrize(("content", "code"), [(None, 1), ([], 1), (["weights"], 0), ([".hidden"], 0)])
def test_image_without_a_model_fails_with_a_message(tmp_path, content, code):
    directory = tmp_path / "models"
    if content is not None:
        directory.mkdir()
    for file in content or ():
        (directory / file).touch()
    command = container(mutated(plain_pod("oci://car:1"), ON), "modelcar-init")["args"]
    command = [_expanded(argument).replace("/models", str(directory)) for argument in command]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert ("holds no model" in ran.stdout) == bool(code)


def test_pod_without_a_model_is_not_changed():
    assert "patch" not in answer(a_pod("kserve-container", labels=KSERVE), ON)


@pytest.mark.parametrize(
    ("context", "settings", "warned"),
    [
        ({"runAsUser": 1000}, {}, True),
        ({"runAsUser": 1000, "runAsGroup": 1000}, {}, False),
        ({"runAsUser": 0}, {}, False),
        ({}, {}, False),
        ({"runAsUser": 1000}, {"uidModelcar": 1010}, False),
    ],
)
@pytest.mark.parametrize("of_pod", [True, False])
def test_a_group_that_the_images_decide_is_warned_about(context, settings, warned, of_pod):
    server = a_container(**({} if of_pod else {"securityContext": context}))
    pod = plain_pod(f"oci://{IMAGE}", containers=[server], **({"securityContext": context} if of_pod else {}))
    found = answer(pod, _with(**settings)).get("warnings", [])
    assert ["set runAsGroup of container" in each for each in found] == [True] * warned


@pytest.mark.parametrize(
    "context", [{}, {"seccompProfile": {"type": "RuntimeDefault"}}, {"capabilities": {"drop": ["A"]}}]
)
def test_modelcar_has_no_capability_that_its_reader_may_lack(context):
    settings = {**ON, "storageDefaults": {"securityContext": context}} if context else ON
    found = container(mutated(kserve_pod(f"oci://{IMAGE}"), settings), "modelcar")["securityContext"]
    assert found["capabilities"] == context.get("capabilities", {"drop": ["ALL"]})
