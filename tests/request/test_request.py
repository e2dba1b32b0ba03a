"""Reading of a pod's request for a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.mutation import (
    KSERVE,
    a_container,
    a_pod,
    answer,
    decide,
    denied,
    initializer,
    kserve_pod,
    mount_list,
    mutated,
    plain_pod,
)
from webhook import annotations as keys

S3 = "s3://bucket/model"


# --- Sources ------------------------------------------------------------------------------------------------------


def test_both_annotations_may_name_the_same_model() -> None:
    assert initializer(mutated(kserve_pod(S3, annotations={keys.URI: f" {S3}\n"})))["args"][0] == S3


def test_two_annotations_with_different_models_are_denied() -> None:
    message = denied(kserve_pod(S3, annotations={keys.URI: "s3://bucket/other"}))
    assert all(part in message for part in (keys.URI, keys.SOURCE_URI, S3, "s3://bucket/other"))


def test_kserves_annotations_are_ignored_on_other_pods() -> None:
    pod = plain_pod(S3, annotations={keys.SOURCE_URI: "s3://bucket/other", keys.AGENT: "true"})
    assert initializer(mutated(pod))["args"][0] == S3


@pytest.mark.parametrize("uri", ["", " ", "\n"])
@pytest.mark.parametrize("key", [keys.URI, keys.SOURCE_URI])
def test_an_empty_uri_is_denied(uri: str, key: str) -> None:
    message = denied(a_pod("kserve-container", annotations={key: uri}, labels=KSERVE))
    assert f"annotation {key} is empty" in message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/models", "/models"),
        ("/models/", "/models"),
        ("//models//a/./b", "/models/a/b"),
        ("/модель 1", "/модель 1"),
        (" /models\n", "/models"),
    ],
)
def test_a_mount_path_is_normalized(path: str, expected: str) -> None:
    assert mount_list(mutated(plain_pod(S3, annotations={keys.MOUNT_PATH: path})))[0]["mountPath"] == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/.",
        "models",
        "./models",
        "C:\\models",
        "/a:b",
        "/a/../b",
        "/..",
        "/a\x00",
        "/a\nb",
        "/" + "a" * 4096,
    ],
)
def test_an_invalid_mount_path_is_denied(path: str) -> None:
    message = denied(plain_pod(S3, annotations={keys.MOUNT_PATH: path}))
    assert keys.MOUNT_PATH in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("s3://bucket/model", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5_000, "is not JSON"),
        ("{}", "must be a list"),
        ("null", "must be a list"),
        ("[]", "must be a list"),
        (json.dumps([{"uri": S3, "mountPath": "/a"}] * 101), "must be a list of 1 to 100"),
        ("[1]", 'entry 1 must be an object with exactly "uri" and "mountPath"'),
        ('[{"uri": "s3://b"}]', "entry 1 must be an object"),
        ('[{"uri": "s3://b", "mountPath": "/a", "x": 1}]', "entry 1 must be an object"),
        ('[{"uri": 1, "mountPath": "/a"}]', "must be strings"),
        ('[{"uri": "s3://b", "mountPath": null}]', "must be strings"),
        ('[{"uri": " ", "mountPath": "/a"}]', "entry 1 is empty"),
        ('[{"uri": "s3://a", "mountPath": "/a"}, {"uri": "pvc://B", "mountPath": "/b"}]', "entry 2 "),
        ('[{"uri": "s3://b", "mountPath": "/"}]', "entry 1:"),
        ('[{"uri": "s3://b\\u0000", "mountPath": "/a"}]', "control characters"),
        ('[{"uri": "s3://a", "mountPath": "/a"}, {"uri": "s3://b", "mountPath": "/a/"}]', "used more than once"),
        ('[{"uri": "pvc://a", "mountPath": "/a"}, {"uri": "s3://b", "mountPath": "/a/b"}]', "is inside"),
    ],
)
def test_an_invalid_list_of_sources_is_denied(text: str, why: str) -> None:
    message = denied(a_pod(annotations={keys.URIS: text}))
    assert message.startswith(f"annotation {keys.URIS}")
    assert why in message
    assert len(message) < 1000


@pytest.mark.parametrize("other", [keys.URI, keys.SOURCE_URI, keys.MOUNT_PATH])
def test_a_list_of_sources_cannot_be_combined_with_a_single_one(other: str) -> None:
    uris = '[{"uri": "s3://b", "mountPath": "/a"}]'
    message = denied(a_pod("kserve-container", annotations={keys.URIS: uris, other: "/x"}, labels=KSERVE))
    assert keys.URIS in message
    assert other in message


@pytest.mark.parametrize(
    ("uri", "path_type", "why"),
    [
        ("pvc://foo/a", "folder", '"folder" is invalid: use auto, directory or file'),
        (S3, "folder", '"folder" is invalid: use auto, directory or file'),
        ("pvc://foo", "file", "the URI has no path"),
        ("pvc://foo/a:b.onnx", "auto", "':'"),
    ],
)
def test_an_invalid_path_type_is_denied(uri: str, path_type: str, why: str) -> None:
    message = denied(plain_pod(uri, annotations={keys.PATH_TYPE: path_type}))
    assert keys.PATH_TYPE in message
    assert why in message


@pytest.mark.parametrize("uri", [S3, "pvc://foo"])
def test_an_unknown_pvc_mount_is_denied(uri: str) -> None:
    message = denied(plain_pod(uri, annotations={keys.PVC_MOUNT: "link"}))
    assert f'{keys.PVC_MOUNT} "link" is invalid: use direct or copy' in message


# --- Targets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("managed", "containers", "annotations", "targets"),
    [
        (True, "kserve-container", {}, "kserve-container"),
        (True, "queue-proxy kserve-container", {}, "kserve-container"),
        (True, "worker-container", {}, "worker-container"),
        (True, "worker-container kserve-container", {}, "kserve-container"),
        (True, "kserve-container transformer-container", {}, "kserve-container transformer-container"),
        (True, "transformer-container worker-container", {}, "transformer-container worker-container"),
        (True, "a b", {keys.CONTAINERS: "b"}, "b"),
        (True, "kserve-container b", {keys.CONTAINERS: "b"}, "b"),
        (True, "a kserve-container", {keys.DEFAULT_CONTAINER: "a"}, "kserve-container"),
        (False, "a b", {}, "a"),
        (False, "a kserve-container", {}, "a"),
        (False, "a b", {keys.DEFAULT_CONTAINER: "b"}, "b"),
        (False, "a b", {keys.DEFAULT_CONTAINER: "c"}, "a"),
        (False, "a b c", {keys.CONTAINERS: " c ,a,, c"}, "a c"),
        (False, "a b", {keys.CONTAINERS: "b", keys.DEFAULT_CONTAINER: "a"}, "b"),
    ],
)
def test_targets(managed: bool, containers: str, annotations: Any, targets: str) -> None:
    made = kserve_pod if managed else plain_pod
    pod = mutated(made(S3, *containers.split(), annotations=annotations))
    assert [name for name in containers.split() if mount_list(pod, name)] == targets.split()


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (kserve_pod(S3, "server"), "no container named kserve-container or worker-container"),
        (kserve_pod(S3, "transformer-container"), "no container named kserve-container or worker-container"),
        (plain_pod(S3, containers=[]), "no containers"),
        (plain_pod(S3, containers=None), "no containers"),
        (plain_pod(S3, annotations={keys.CONTAINERS: " , "}), f"annotation {keys.CONTAINERS} is empty"),
        (plain_pod(S3, "a", "b", annotations={keys.CONTAINERS: "a,c"}), 'names "c"'),
        (plain_pod(S3, annotations={keys.CONTAINERS: ",".join(map(str, range(21)))}), "names 21 containers"),
        (
            plain_pod(S3, annotations={keys.CONTAINERS: "sever"}, initContainers=[a_container("warm-up")]),
            'names "sever", which is not a container of the pod; its containers are "server"',
        ),
    ],
)
def test_a_pod_without_targets_is_denied(pod: Any, why: str) -> None:
    assert why in denied(pod)


def test_a_default_container_that_is_an_init_container_warns() -> None:
    pod = plain_pod(S3, annotations={keys.DEFAULT_CONTAINER: "warm-up"}, initContainers=[a_container("warm-up")])
    (warning,) = answer(pod)["warnings"]
    assert f'{keys.DEFAULT_CONTAINER} "warm-up" is an init container: container "server"' in warning


def test_a_missing_default_container_warns() -> None:
    (warning,) = answer(plain_pod(S3, "a", "b", annotations={keys.DEFAULT_CONTAINER: "c"}))["warnings"]
    assert '"c" is not a container of the pod' in warning
    assert '"a"' in warning


# --- Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "namespace"), [(False, "models"), (["other"], "models"), ([], "models"), (["models"], "other")]
)
def test_read_write_is_forbidden_when_the_settings_do_not_allow_it(allowed: Any, namespace: str) -> None:
    settings = {"storageDefaults": {"allowReadWrite": allowed}}
    response = answer(plain_pod("pvc://foo", annotations={keys.READ_ONLY: "false"}), settings, namespace)
    assert response["status"]["code"] == 403
    assert keys.READ_ONLY in response["status"]["message"]
    assert "storageDefaults.allowReadWrite" in response["status"]["message"]
    assert namespace in response["status"]["message"]


@pytest.mark.parametrize("text", ["", "yes", "0", "falsch", "null"])
def test_a_readonly_that_is_not_a_boolean_warns(text: str) -> None:
    (warning,) = answer(plain_pod("pvc://foo", annotations={keys.READ_ONLY: text}))["warnings"]
    assert f'{keys.READ_ONLY} "{text}" is neither true nor false' in warning


# --- Pods that are skipped, and invalid pods ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spec", None),
        ("spec", []),
        ("metadata", "text"),
    ],
)
def test_the_spec_of_a_pod_that_requests_no_model_is_not_validated(field: str, value: Any) -> None:
    pod = {**a_pod(), field: value}
    if field == "metadata":
        assert "must be an object" in denied(pod)
    else:
        assert answer(pod)["auditAnnotations"]["reason"] == "no-uri"


@pytest.mark.parametrize("spec", [None, [], "text"])
def test_a_pod_that_requests_a_model_must_have_a_spec(spec: Any) -> None:
    assert "spec of the pod must be an object" in denied({**plain_pod(S3), "spec": spec})


def test_pvc_mount_copy_is_denied_for_a_list_of_sources() -> None:
    uris = '[{"uri": "pvc://foo", "mountPath": "/a"}]'
    message = denied(a_pod(annotations={keys.URIS: uris, keys.PVC_MOUNT: "copy"}))
    assert f"{keys.PVC_MOUNT} copy cannot be combined with" in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": {}}, "spec.containers of the pod must be a list"),
        ({"containers": [None]}, "spec.containers[0] of the pod must be an object with a name"),
        ({"containers": [{"name": 1}]}, "spec.containers[0] of the pod must be an object with a name"),
        ({"initContainers": 1}, "spec.initContainers of the pod must be a list"),
        ({"volumes": ["x"]}, "spec.volumes[0] of the pod must be an object with a name"),
        ({"volumes": [{"name": "x"}] * 251}, "spec.volumes of the pod has 251 items"),
        ({"securityContext": True}, "spec.securityContext of the pod must be an object"),
        ({"os": "linux"}, "spec.os of the pod must be an object"),
        ({"resources": []}, "spec.resources of the pod must be an object"),
        ({"serviceAccountName": {}}, "spec.serviceAccountName of the pod must be a string"),
        ({"containers": [a_container(env={})]}, "spec.containers[0].env of the pod must be a list"),
        ({"containers": [a_container(volumeMounts=[1])]}, "spec.containers[0].volumeMounts[0] of the pod"),
        ({"containers": [a_container(volumeDevices=[1])]}, "spec.containers[0].volumeDevices[0] of the pod"),
        ({"containers": [a_container(securityContext=1)]}, "spec.containers[0].securityContext of the pod"),
    ],
)
def test_a_field_of_the_wrong_type_is_denied_by_name(spec: Any, message: str) -> None:
    assert message in denied(plain_pod(S3, **spec))


LONG = "/a" + "b" * 1_022


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (LONG, ""),
        (LONG + "b", "is 1025 characters long: the maximum is 1024"),
        ("/a" * 64, ""),
        ("//a/." * 64, ""),
        ("/a" * 65, "has 65 names: the maximum is 64"),
    ],
)
def test_long_mount_paths_are_denied(path: str, problem: str) -> None:
    one = a_pod(annotations={keys.URI: "s3://b/m", keys.MOUNT_PATH: path})
    several = a_pod(annotations={keys.URIS: json.dumps([{"uri": "s3://b/m", "mountPath": path}])})
    for pod in (one, several):
        if problem:
            assert problem in denied(pod)
        else:
            assert mutated(pod)


def test_annotations_that_kubernetes_does_not_accept_are_denied() -> None:
    text = {"example.com/a": "x" * 262_144}
    assert "Kubernetes accepts 262144" in denied(a_pod(annotations={keys.URI: "s3://b/m", **text}))
    assert decide(a_pod(annotations=text)).kind == "skipped"


def test_models_whose_paths_would_make_the_pod_too_large_are_denied() -> None:
    models = [{"uri": f"s3://b/{number}", "mountPath": f"/mnt/m{number}{'x' * 1_000}"} for number in range(30)]
    names = [f"c{number}" for number in range(20)]
    annotations = {keys.URIS: json.dumps(models), keys.CONTAINERS: ",".join(names)}
    assert "30 models in 20 containers" in denied(a_pod(*names, annotations=annotations))
