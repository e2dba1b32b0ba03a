"""STORAGE_URI of custom model servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import a_container, container, kserve_pod, mutated, plain_pod, several
from webhook import annotations as keys

FROM_CONFIG_MAP = {"name": "STORAGE_URI", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}


def _variable(value: str) -> dict[str, str]:
    return {"name": "STORAGE_URI", "value": value}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ([_variable("s3://b/m")], [_variable("/mnt/models")]),
        ([_variable("/mnt/models")], [_variable("/mnt/models")]),
        ([_variable("")], [_variable("")]),
        ([{"name": "STORAGE_URI"}], [{"name": "STORAGE_URI"}]),
        ([FROM_CONFIG_MAP], [FROM_CONFIG_MAP]),
        ([_variable("s3://a"), {"name": "B"}, _variable("s3://b")], 2 * [_variable("/mnt/models")]),
        ([_variable(""), _variable("s3://b")], [_variable(""), _variable("/mnt/models")]),
    ],
)
@pytest.mark.parametrize("uri", ["s3://b/m", "pvc://foo/m"])
def test_replaced_by_the_mount_path(uri: str, env: list[Any], expected: list[Any]) -> None:
    pod = mutated(plain_pod(uri, containers=[a_container(env=env)]))
    assert [item for item in container(pod, "server")["env"] if item["name"] == "STORAGE_URI"] == expected


def test_replaced_by_the_annotated_mount_path() -> None:
    pod = plain_pod("s3://b", annotations={keys.MOUNT_PATH: "/opt/m"}, containers=[a_container(env=[_variable("x")])])
    assert container(mutated(pod), "server")["env"] == [_variable("/opt/m")]


def test_only_targets_are_changed() -> None:
    containers = [a_container(name, env=[_variable("x")]) for name in ("kserve-container", "queue-proxy")]
    pod = mutated(kserve_pod("s3://b", containers=containers))
    assert container(pod, "kserve-container")["env"] == [_variable("/mnt/models")]
    assert container(pod, "queue-proxy")["env"] == [_variable("x")]


def test_not_added_to_a_container_without_it() -> None:
    assert "env" not in container(mutated(plain_pod("s3://b")), "server")


def test_not_changed_for_several_models() -> None:
    pod = several(("s3://b", "/mnt/a"), containers=[a_container(env=[_variable("x")])])
    assert container(mutated(pod), "server")["env"] == [_variable("x")]
