"""Security contexts: Pod Security still admits the pod after injection.

Kubernetes: Pod Security Standards, levels baseline and restricted.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.mutation import a_container, answer, initializer, mutated, patched, plain_pod
from webhook import annotations as keys

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


# --- User 0 -----------------------------------------------------------------------------------------------------------

ROOT = {"runAsUser": 0}
USER = {"runAsUser": 1000}
MODELCAR = "oci+modelcar://registry.example.com/m:1"
OWN_USER = {keys.INITIALIZER_UID: "1337"}
OWN_ROOT = {keys.INITIALIZER_UID: "0"}


def can_start(pod: Any, container: Any) -> bool:
    """Whether the kubelet starts the container: it refuses user 0 where runAsNonRoot is true."""
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    return not (context.get("runAsNonRoot") and context.get("runAsUser") == 0)


def _injected(pod: Any, settings: Any = None) -> list[Any]:
    """The containers that were added to the pod."""
    given = {each["name"] for each in pod["spec"]["containers"]}
    spec = patched(pod, answer(pod, settings))["spec"]
    return [each for each in [*spec["containers"], *spec["initContainers"]] if each["name"] not in given]


POD_LEVEL = [None, ROOT, USER, NON_ROOT, {**ROOT, **NON_ROOT}, {**USER, **NON_ROOT}, {**ROOT, "runAsNonRoot": False}]
CONTAINER_LEVEL = [None, NON_ROOT, {**USER, **NON_ROOT}, {**USER, "runAsNonRoot": False}, ROOT]


@pytest.mark.parametrize("uri", [S3, MODELCAR])
@pytest.mark.parametrize("pod_level", POD_LEVEL, ids=str)
@pytest.mark.parametrize("container_level", CONTAINER_LEVEL, ids=str)
def test_injected_containers_can_start(container_level: Any, pod_level: Any, uri: str) -> None:
    pod = _pod(container_level, pod=pod_level)
    for user, uid, chosen in product([{}, OWN_USER, OWN_ROOT], [None, 0, 1010], [{}, {"runAsGroup": 1}]):
        pod["metadata"]["annotations"] = {keys.URI: uri, **user}
        defaults = {"securityContext": chosen} if chosen else {}
        settings = {"storageInitializer": {"enableModelcar": True, "uidModelcar": uid}, "storageDefaults": defaults}
        for container in _injected(pod, settings):
            assert can_start(pod, container), (user, uid, chosen, container)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(NON_ROOT, pod=ROOT), LEAST),
        (_pod({**NON_ROOT, **USER}, pod=ROOT), LEAST),
        (_pod(pod={**NON_ROOT, **ROOT}), {**LEAST, "runAsNonRoot": False}),
        (_pod(pod={**NON_ROOT, **USER}), {**LEAST, **NON_ROOT}),
        (_pod(NON_ROOT, pod=USER), {**LEAST, **NON_ROOT}),
    ],
)
def test_user_0_of_the_pod_is_not_forbidden_to_the_init_container(pod: Any, expected: Any) -> None:
    assert _context(pod) == expected
    assert "runAsUser" not in _context(pod)


def test_user_of_istio_is_not_root() -> None:
    pod = _pod({**NON_ROOT, **USER}, pod=ROOT)
    pod["metadata"]["annotations"].update(OWN_USER)
    assert _context(pod) == {**LEAST, **NON_ROOT, "runAsUser": 1337}


def test_settings_that_forbid_root_are_kept_with_a_warning() -> None:
    settings = {"storageDefaults": {"securityContext": NON_ROOT}}
    assert _context(_pod(pod=ROOT), securityContext=NON_ROOT) == NON_ROOT
    (warning,) = answer(_pod(pod=ROOT), settings)["warnings"]
    assert '"storage-initializer" cannot start' in warning
    assert "spec.securityContext.runAsUser" in warning
    assert len(warning) <= 256
    assert "warnings" not in answer(_pod(pod=USER), settings)


def test_other_containers_are_not_changed() -> None:
    pod = _pod(None, NON_ROOT, initContainers=[a_container("i")])
    after = mutated(pod)["spec"]
    assert [item.get("securityContext") for item in after["containers"]] == [None, NON_ROOT]
    assert "securityContext" not in after["initContainers"][0]
