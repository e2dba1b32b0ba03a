"""The init container that checks the paths of mounted claims."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import (
    JsonObject,
    a_container,
    answer,
    container,
    denied,
    kserve_pod,
    mutated,
    names,
    plain_pod,
    several,
)
from webhook import annotations as keys

ON: JsonObject = {"storageDefaults": {"checkPath": True}}
ASKED = {str(keys.CHECK_PATH): "true"}
NAME = "storage-path-check"


def _checked(pod: JsonObject) -> list[tuple[str, ...]]:
    """The paths that the pod's init container checks: claim, kind, root and path."""
    args = container(pod, NAME)["args"]
    return [tuple(args[index : index + 4]) for index in range(0, len(args), 4)]


def _has_check(pod: JsonObject) -> bool:
    return NAME in names(pod["spec"].get("initContainers"))


@pytest.mark.parametrize(
    ("settings", "annotation", "checks"),
    [
        ({}, None, False),
        ({}, "true", True),
        ({}, "TRUE", True),
        ({}, "false", False),
        (ON, None, True),
        (ON, "false", False),
    ],
)
def test_the_check_is_off_by_default_and_the_annotation_takes_precedence(
    settings: Any, annotation: str | None, checks: bool
) -> None:
    annotations = {} if annotation is None else {str(keys.CHECK_PATH): annotation}
    assert _has_check(mutated(plain_pod("pvc://foo/iris", annotations=annotations), settings)) is checks


def test_another_value_is_denied() -> None:
    message = denied(plain_pod("pvc://foo/iris", annotations={str(keys.CHECK_PATH): "yes"}))
    assert f'annotation {keys.CHECK_PATH} "yes" is invalid: use true or false' in message


def test_the_init_container_looks_at_the_root_of_the_claim_and_cannot_write() -> None:
    pod = mutated(kserve_pod("pvc://foo/iris/v1"), ON | {"storageInitializer": {"image": "initializer:1"}})
    check = container(pod, NAME)
    assert check["image"] == "initializer:1"
    root = f"/mnt/{NAME}/kserve-pvc-source"
    assert check["volumeMounts"] == [{"name": "kserve-pvc-source", "mountPath": root, "readOnly": True}]
    assert _checked(pod) == [("foo", "directory", root, "iris/v1")]
    assert check["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert check["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert check["resources"]["requests"] == check["resources"]["limits"]


def test_a_writable_model_is_checked_read_only_too() -> None:
    annotations = {**ASKED, str(keys.READ_ONLY): "false"}
    pod = mutated(plain_pod("pvc://foo/iris", annotations=annotations))
    assert all(mount["readOnly"] for mount in container(pod, NAME)["volumeMounts"])


def test_a_single_file_is_checked_as_a_file() -> None:
    assert _checked(mutated(plain_pod("pvc://foo/iris/model.onnx"), ON))[0][1] == "file"


def test_several_models_are_checked_by_one_container() -> None:
    sources = [("pvc://foo/a", "/mnt/a"), ("pvc://bar/b", "/mnt/b"), ("pvc://foo/c", "/mnt/c"), ("s3://x", "/mnt/d/e")]
    pod = mutated(several(*sources), ON)
    foo, bar = (f"/mnt/{NAME}/mnt-{name}" for name in "ab")
    assert _checked(pod) == [
        ("foo", "directory", foo, "a"),
        ("bar", "directory", bar, "b"),
        ("foo", "directory", foo, "c"),
    ]
    assert [mount["mountPath"] for mount in container(pod, NAME)["volumeMounts"]] == [foo, bar]


@pytest.mark.parametrize(
    "pod",
    [
        plain_pod("pvc://foo"),
        plain_pod("pvc://foo/"),
        plain_pod("s3://bucket/model"),
        # The initializer looks itself.
        plain_pod("pvc://foo/iris", annotations={str(keys.PVC_MOUNT): "copy"}),
    ],
)
def test_pods_without_a_mounted_path_are_not_checked(pod: JsonObject) -> None:
    assert not _has_check(mutated(pod, ON))


def test_the_check_runs_before_an_init_container_that_needs_the_model() -> None:
    annotations = {**ASKED, str(keys.CONTAINERS): "warm-up,server"}
    pod = mutated(plain_pod("pvc://foo/iris", annotations=annotations, initContainers=[a_container("warm-up")]))
    assert names(pod["spec"]["initContainers"]) == [NAME, "warm-up"]


def test_an_init_container_of_the_author_may_create_the_path() -> None:
    pod = mutated(plain_pod("pvc://foo/iris", initContainers=[a_container("fill")]), ON)
    assert names(pod["spec"]["initContainers"]) == ["fill", NAME]


def test_a_guaranteed_pod_stays_guaranteed() -> None:
    resources = {"cpu": "1", "memory": "1Gi"}
    server = a_container(resources={"requests": resources, "limits": resources})
    assert "warnings" not in answer(plain_pod("pvc://foo/iris", containers=[server]), ON)


def test_a_container_of_the_author_with_this_name_is_denied() -> None:
    assert "rename it" in denied(plain_pod("pvc://foo/iris", containers=[a_container(), a_container(NAME)]), ON)
    assert "rename it" in denied(plain_pod("pvc://foo/iris", initContainers=[a_container(NAME)]), ON)


def test_what_others_changed_between_two_calls_stays() -> None:
    pod = mutated(plain_pod("pvc://foo/iris"), ON)
    container(pod, NAME)["image"] = "mirror.example.com/initializer@sha256:0"
    container(pod, NAME)["volumeMounts"].append({"name": "token", "mountPath": "/var/run/token"})
    assert mutated(pod, ON) == pod
