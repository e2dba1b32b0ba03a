"""The owner of downloaded files."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import JsonObject, a_container, answer, plain_pod, several
from webhook import annotations as keys

S3 = "s3://bucket/model"
WRITABLE = {str(keys.READ_ONLY): "false"}


def _warnings(
    pod_user: int | None, server_user: int | None, settings: Any = None, annotations: Any = WRITABLE, uri: str = S3
) -> list[str]:
    pod = plain_pod(uri, annotations=annotations, containers=[a_container(**_run_as(server_user))], **_run_as(pod_user))
    found: list[str] = answer(pod, settings).get("warnings", [])
    return found


def _run_as(user: int | None) -> JsonObject:
    return {} if user is None else {"securityContext": {"runAsUser": user}}


@pytest.mark.parametrize(
    ("pod_user", "server_user", "owner"),
    [(None, 2000, 1000), (3000, 2000, 3000)],
)
def test_a_server_of_another_user_is_warned_about(pod_user: int | None, server_user: int, owner: int) -> None:
    (warning,) = _warnings(pod_user, server_user)
    assert f'container "server" runs as this user, but the model\'s files belong to user {owner}' in warning
    assert f"set spec.securityContext.runAsUser to {server_user}" in warning
    assert len(warning) <= 256


# A user that only the server's image sets is not known, and root may write to every file.
@pytest.mark.parametrize(("pod_user", "server_user"), [(None, None), (None, 1000), (2000, 2000), (2000, None), (0, 0)])
def test_a_server_that_can_write_is_not_warned_about(pod_user: int | None, server_user: int | None) -> None:
    assert not _warnings(pod_user, server_user)


@pytest.mark.parametrize(
    ("capabilities", "warned"),
    [
        ({}, False),
        ({"drop": ["NET_RAW"]}, False),
        ({"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}, False),
        ({"drop": ["ALL"]}, True),
        ({"drop": ["CAP_DAC_OVERRIDE"]}, True),
    ],
)
def test_root_without_its_capability_is_another_user(capabilities: Any, warned: bool) -> None:
    server = a_container(securityContext={"runAsUser": 0, "capabilities": capabilities})
    warnings = answer(plain_pod(S3, annotations=WRITABLE, containers=[server])).get("warnings", [])
    assert ["user 1000 of the init container" in each for each in warnings] == [True] * warned


@pytest.mark.parametrize(("context", "warned"), [({}, True), ({"fsGroup": 2000}, False)])
def test_a_copy_from_the_shared_cache_is_writable_for_the_group(context: Any, warned: bool) -> None:
    annotations = {**WRITABLE, str(keys.CACHE): "pvc://cache", str(keys.CACHE_MOUNT): "copy"}
    server = a_container(**_run_as(3333))
    pod = plain_pod(S3, annotations=annotations, containers=[server], securityContext=context)
    assert any("no other user can write" in each for each in answer(pod).get("warnings", [])) == warned


def test_the_user_of_the_settings_owns_the_files() -> None:
    settings = {"storageDefaults": {"securityContext": {"runAsUser": 2000}}}
    assert not _warnings(None, 2000, settings)
    assert "belong to user 2000" in _warnings(None, 1000, settings)[0]


def test_models_that_are_not_written_or_not_downloaded_are_not_warned_about() -> None:
    assert not _warnings(None, 2000, annotations={})
    assert not _warnings(None, 2000, uri="pvc://claim/model")
    assert not _warnings(None, 2000, uri="pvc://claim/model", annotations={**WRITABLE, str(keys.PVC_MOUNT): "copy"})


def test_the_advice_helps() -> None:
    assert _warnings(None, 2000)
    assert not _warnings(2000, 2000)


def test_several_models_are_warned_about_once() -> None:
    pod = several((S3, "/mnt/a"), ("hf://o/m", "/mnt/b"), ("pvc://claim", "/mnt/c"), **{})
    pod["metadata"]["annotations"] |= WRITABLE
    pod["spec"]["containers"] = [a_container(**_run_as(2000))]
    assert len(answer(pod)["warnings"]) == 1
