"""The init container's user id with Istio."""

import json

import pytest

from tests.mutation import a_pod, answer, container, denied, kserve_pod, mutated, names

UID = "serving.kserve.io/storage-initializer-uid"
REDIRECT = {"sidecar.istio.io/interceptionMode": "REDIRECT"}
LABEL = {"serving.kserve.io/inferenceservice": "iris"}


def _status(*sidecars, **more):
    return {"sidecar.istio.io/status": json.dumps({"containers": sidecars, **more})}


def _pod(annotations, *containers, **spec):
    return kserve_pod("s3://b/m", "kserve-container", *containers, annotations=annotations, **spec)


def _uid(pod):
    return (container(mutated(pod), "storage-initializer").get("securityContext") or {}).get("runAsUser")


@pytest.mark.parametrize(("text", "uid"), [("1337", 1337), (" 0 ", 0), ("2147483647", 2147483647)])
def test_user_id_from_the_annotation(text, uid):
    assert _uid(_pod({UID: text})) == uid


INVALID_UIDS = ["", "root", "-1", "1.5", "0x1", "2147483648", "9" * 5000, "١٣٣٧"]


@pytest.mark.parametrize("text", INVALID_UIDS)
def test_invalid_user_id_is_ignored_with_a_warning(text):
    pod = _pod({UID: text})
    (warning,) = answer(pod)["warnings"]
    assert f"annotation {UID}" in warning
    assert "ignored" in warning
    assert len(warning) <= 256
    assert _uid(pod) is None


def test_invalid_user_id_does_not_hide_the_proxy():
    assert _uid(_pod({UID: "root", **REDIRECT, **_status("istio-proxy")}, "istio-proxy")) == 1337


def test_annotation_takes_precedence_over_the_proxy():
    pod = _pod({UID: "7", **REDIRECT, **_status("istio-proxy")}, "istio-proxy")
    assert _uid(pod) == 7


def test_default_user_id_of_the_proxy():
    assert _uid(_pod({**REDIRECT, **_status("istio-proxy")}, "istio-proxy")) == 1337


def test_user_id_from_the_proxy_container():
    pod = _pod({**REDIRECT, **_status("istio-proxy")}, "istio-proxy")
    pod["spec"]["containers"][1]["securityContext"] = {"runAsUser": 1000660000}
    assert _uid(pod) == 1000660000


def test_first_sidecar_that_exists_is_used():
    assert _uid(_pod({**REDIRECT, **_status("gone", "istio-proxy")}, "istio-proxy")) == 1337


@pytest.mark.parametrize(
    ("annotations", "containers"),
    [
        (_status("istio-proxy"), ["istio-proxy"]),
        (REDIRECT, ["istio-proxy"]),
        ({**REDIRECT, **_status("istio-proxy")}, []),
        ({**REDIRECT, **_status()}, ["istio-proxy"]),
        ({**REDIRECT, "sidecar.istio.io/status": '{"containers": null}'}, ["istio-proxy"]),
        ({**REDIRECT, "sidecar.istio.io/status": "{}"}, ["istio-proxy"]),
        ({"sidecar.istio.io/interceptionMode": "TPROXY", **_status("istio-proxy")}, ["istio-proxy"]),
        ({"sidecar.istio.io/interceptionMode": "NONE", "sidecar.istio.io/status": "{"}, ["istio-proxy"]),
    ],
)
def test_user_id_is_not_set_without_istio_cni(annotations, containers):
    assert _uid(_pod(annotations, *containers)) is None


def test_user_id_is_not_set_with_istio_init():
    init = {"name": "istio-init", "image": "proxyv2:1"}
    pod = _pod({**REDIRECT, **_status("istio-proxy")}, "istio-proxy", initContainers=[init])
    assert _uid(pod) is None


def test_user_id_is_not_set_with_a_native_sidecar():
    proxy = {"name": "istio-proxy", "image": "proxyv2:1", "restartPolicy": "Always"}
    status = {"sidecar.istio.io/status": '{"initContainers": ["istio-proxy"], "containers": null}'}
    pod = _pod({**REDIRECT, **status}, initContainers=[proxy])
    assert _uid(pod) is None
    assert names(mutated(pod)["spec"]["initContainers"]) == ["istio-proxy", "storage-initializer"]


@pytest.mark.parametrize(
    "status",
    ["", "{", "[]", '"istio-proxy"', "null", "[" * 100_000, '{"containers": "istio-proxy"}', '{"containers": [1]}'],
)
def test_invalid_status_is_denied(status):
    message = denied(_pod({**REDIRECT, "sidecar.istio.io/status": status}, "istio-proxy"))
    assert "annotation sidecar.istio.io/status" in message


def test_proxy_injected_after_the_init_container():
    first = mutated(_pod({}))
    first["metadata"]["annotations"] |= {**REDIRECT, **_status("istio-proxy")}
    first["spec"]["containers"].append({"name": "istio-proxy", "image": "proxyv2:1"})
    second = mutated(first)
    assert container(second, "storage-initializer")["securityContext"]["runAsUser"] == 1337
    assert container(second, "storage-initializer")["args"] == ["s3://b/m", "/mnt/models"]


@pytest.mark.parametrize("annotations", [{UID: "1337"}, {**REDIRECT, **_status("istio-proxy")}])
def test_init_container_of_kserves_controller(annotations):
    """KServe's controller adds it for several URIs, without an annotation that names a model."""
    initializer = {"name": "storage-initializer", "image": "init:1", "securityContext": {"runAsUser": 1000}}
    pod = a_pod("kserve-container", "istio-proxy", annotations=annotations, labels=LABEL, initContainers=[initializer])
    assert mutated(pod)["spec"]["initContainers"] == [{**initializer, "securityContext": {"runAsUser": 1337}}]


def test_pod_without_a_model_is_skipped():
    initializer = {"name": "storage-initializer", "image": "theirs:1"}
    assert "patch" not in answer(a_pod("server", annotations={UID: "1337"}, initContainers=[initializer]))


def test_user_id_takes_precedence_over_the_settings():
    settings = {"storageDefaults": {"securityContext": {"runAsUser": 5, "runAsGroup": 6}}}
    context = container(mutated(_pod({UID: "1337"}), settings), "storage-initializer")["securityContext"]
    assert context == {"runAsUser": 1337, "runAsGroup": 6}


@pytest.mark.parametrize("uri", ["pvc://claim", "oci+native://car:1", "oci+modelcar://car:1"])
def test_no_effect_without_an_init_container(uri):
    pod = kserve_pod(uri, annotations={UID: "1337"})
    mutated_pod = mutated(pod, {"storageInitializer": {"enableModelcar": True}})
    assert "1337" not in json.dumps(mutated_pod["spec"])
