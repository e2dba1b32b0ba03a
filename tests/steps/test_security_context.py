"""Security contexts: Pod Security still admits the pod after injection.

Kubernetes: Pod Security Standards, levels baseline and restricted.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import a_container, initializer, mutated, plain_pod

S3 = "s3://bucket/model"
RUNTIME_DEFAULT = {"seccompProfile": {"type": "RuntimeDefault"}}
LOCALHOST = {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}
UNCONFINED = {"seccompProfile": {"type": "Unconfined"}}
NON_ROOT = {"runAsNonRoot": True}
LEAST = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _context(pod: Any, **settings: Any) -> Any:
    return initializer(mutated(pod, {"storageDefaults": settings})).get("securityContext")


def _pod(*contexts: dict[str, Any] | None, pod: dict[str, Any] | None = None, **spec: Any) -> Any:
    containers = [
        a_container(f"c{index}", securityContext=context) for index, context in enumerate(contexts or (None,))
    ]
    return plain_pod(S3, containers=containers, securityContext=pod, **spec)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(), LEAST),
        (_pod({}), LEAST),
        (_pod(NON_ROOT), {**LEAST, **NON_ROOT}),
        (_pod(NON_ROOT, NON_ROOT), {**LEAST, **NON_ROOT}),
        (_pod(NON_ROOT, None), LEAST),
        (_pod(NON_ROOT, {"runAsNonRoot": False}), LEAST),
        (_pod(pod=NON_ROOT), {**LEAST, **NON_ROOT}),
        (_pod(RUNTIME_DEFAULT), {**LEAST, **RUNTIME_DEFAULT}),
        (_pod(RUNTIME_DEFAULT, None), LEAST),
        (_pod(RUNTIME_DEFAULT, UNCONFINED), LEAST),
        (_pod(pod=RUNTIME_DEFAULT), {**LEAST, **RUNTIME_DEFAULT}),
        (_pod(LOCALHOST), {**LEAST, **RUNTIME_DEFAULT}),
        (_pod(LOCALHOST, RUNTIME_DEFAULT), {**LEAST, **RUNTIME_DEFAULT}),
        (_pod(pod=LOCALHOST), LEAST),
        (_pod({**NON_ROOT, **RUNTIME_DEFAULT}), {**LEAST, **NON_ROOT, **RUNTIME_DEFAULT}),
        (_pod(NON_ROOT, initContainers=[a_container("i")]), LEAST),
        (_pod(NON_ROOT, initContainers=[a_container("i", securityContext=NON_ROOT)]), {**LEAST, **NON_ROOT}),
        (_pod(NON_ROOT, pod={"runAsNonRoot": False}), {**LEAST, **NON_ROOT}),
        (_pod({"runAsUser": 0}), LEAST),
        (_pod({"seccompProfile": {"type": 1}}), LEAST),
        (_pod({"seccompProfile": "RuntimeDefault"}), LEAST),
    ],
)
def test_init_container_gets_the_restrictions_of_all_containers(pod: Any, expected: dict[str, Any]) -> None:
    assert _context(pod) == expected


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        # Kubernetes rejects the Linux-only fields on Windows pods.
        (_pod(os={"name": "windows"}), {}),
        (_pod(NON_ROOT, os={"name": "windows"}), NON_ROOT),
        (_pod(NON_ROOT, os={"name": "linux"}), {**LEAST, **NON_ROOT}),
    ],
)
def test_windows_pod_gets_only_windows_fields(pod: Any, expected: dict[str, Any]) -> None:
    assert _context(pod) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, {}),
        ({"runAsUser": 1000, "readOnlyRootFilesystem": True}, {"runAsUser": 1000, "readOnlyRootFilesystem": True}),
    ],
)
def test_security_context_of_the_settings_replaces_the_default(chosen: dict[str, Any], expected: Any) -> None:
    assert _context(_pod(NON_ROOT), securityContext=chosen) == expected


def test_linux_fields_of_the_settings_are_removed_on_windows() -> None:
    chosen = {"runAsUser": 1000, "runAsNonRoot": True, "windowsOptions": {"runAsUserName": "ContainerUser"}}
    assert _context(_pod(os={"name": "windows"}), securityContext=chosen) == {
        "runAsNonRoot": True,
        "windowsOptions": {"runAsUserName": "ContainerUser"},
    }


def test_other_containers_are_not_changed() -> None:
    pod = _pod(None, NON_ROOT, initContainers=[a_container("i")])
    after = mutated(pod)["spec"]
    assert [item.get("securityContext") for item in after["containers"]] == [None, NON_ROOT]
    assert "securityContext" not in after["initContainers"][0]
