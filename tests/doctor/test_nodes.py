"""What the nodes can deliver."""

from __future__ import annotations

import pytest

from tests.mutation import JsonObject
from webhook.doctor.nodes import check_nodes, groups_of
from webhook.doctor.report import Check, Result
from webhook.doctor.versions import Version, parse, parse_runtime

NATIVE, MODELCAR, IN_JOBS = "oci+native://", "oci+modelcar://", "oci+modelcar:// in Jobs"


def node(kubelet: str, runtime: str, system: str = "linux") -> JsonObject:
    info = {"operatingSystem": system, "kubeletVersion": kubelet, "containerRuntimeVersion": runtime}
    return {"metadata": {"name": "node"}, "status": {"nodeInfo": info}}


def checks(*nodes: JsonObject, server: Version | None = (1, 35), native: bool = False) -> dict[str, Check]:
    return {each.subject: each for each in check_nodes(groups_of(nodes), server, native_is_default=native)}


@pytest.mark.parametrize(
    ("kubelet", "runtime", "server", "result", "words"),
    [
        ("v1.35.4", "containerd://2.2.0", (1, 35), Result.WORKS, "all nodes"),
        ("v1.36.0-alpha.1", "cri-o://1.33.1", (1, 36), Result.WORKS, "all nodes"),
        ("v1.35.4-gke.1", "containerd://2.1.4", (1, 35), Result.UNAVAILABLE, "containerd 2.1.4"),
        ("v1.35.4", "containerd://1.7.27-k3s1", (1, 35), Result.UNAVAILABLE, "(from 2.2)"),
        ("v1.35.4", "cri-o://1.32.9", (1, 35), Result.UNAVAILABLE, "cri-o 1.32.9"),
        ("v1.35.4", "docker://28.0.1", (1, 35), Result.UNAVAILABLE, "runtime docker is not known"),
        ("v1.35.4", "containerd://unknown", (1, 35), Result.UNAVAILABLE, "containerd unknown"),
        ("v1.32.4", "containerd://2.2.0", (1, 35), Result.UNAVAILABLE, "kubelet v1.32.4"),
        ("v1.34.4", "containerd://2.2.0", (1, 35), Result.UNKNOWN, "feature gate ImageVolume"),
        ("v1.35.4", "containerd://2.2.0", (1, 34), Result.UNKNOWN, "feature gate ImageVolume"),
        ("v1.35.4", "containerd://2.2.0", None, Result.UNKNOWN, "feature gate ImageVolume"),
        ("v1.32.4", "containerd://2.2.0", (1, 32), Result.UNAVAILABLE, "API server 1.32"),
        ("unknown", "unknown", (1, 35), Result.UNAVAILABLE, "kubelet unknown"),
    ],
)
def test_image_volumes_need_a_kubelet_and_a_runtime(
    kubelet: str, runtime: str, server: Version | None, result: Result, words: str
) -> None:
    found = checks(node(kubelet, runtime), server=server)[NATIVE]
    assert found.result == result
    assert words in found.detail
    assert (found.result != Result.UNAVAILABLE) or "use oci+modelcar:// or oci+fetch://" in found.detail


def test_image_volumes_that_the_settings_use_are_broken() -> None:
    found = checks(node("v1.35.4", "containerd://1.7.27"), native=True)[NATIVE]
    assert found.result == Result.BROKEN
    assert "set ociModelMode" in found.detail


def test_image_volumes_on_some_nodes_are_a_warning() -> None:
    old, new = node("v1.35.4", "containerd://1.7.27"), node("v1.35.4", "containerd://2.2.0")
    found = checks(old, old, new, node("v1.35.4", "containerd://1.7.27", "windows"))[NATIVE]
    assert found.result == Result.WARNING
    assert "not on 2 of 3 nodes" in found.detail


def test_nodes_with_the_same_software_are_counted() -> None:
    found = checks(*[node("v1.35.4", "containerd://2.2.0")] * 3)
    assert found["linux, kubelet v1.35.4, containerd 2.2.0"].detail == "3 nodes"


@pytest.mark.parametrize(
    ("kubelet", "server", "result"),
    [
        ("v1.29.0", (1, 29), Result.WORKS),
        ("v1.28.0", (1, 29), Result.UNAVAILABLE),
        ("v1.29.0", None, Result.UNAVAILABLE),
    ],
)
def test_modelcars_in_jobs_need_native_sidecars(kubelet: str, server: Version | None, result: Result) -> None:
    found = checks(node(kubelet, "containerd://1.7.27"), server=server)
    assert found[MODELCAR].result == Result.WORKS
    assert found[IN_JOBS].result == result


def test_windows_nodes_run_no_initializer() -> None:
    found = checks(node("v1.35.4", "containerd://2.2.0", "windows"))
    assert found["windows, kubelet v1.35.4, containerd 2.2.0"].result == Result.WARNING
    assert found[NATIVE].result == found[MODELCAR].result == found[IN_JOBS].result == Result.UNAVAILABLE


def test_a_cluster_without_nodes_and_a_node_without_status() -> None:
    assert checks()["nodes"].result == Result.WARNING
    assert checks({"metadata": {"name": "new"}})[NATIVE].result == Result.UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.35.4", (1, 35)), ("1.33", (1, 33)), ("v1.30+", (1, 30)), ("", None), ("unknown", None), ("v1", None)],
)
def test_versions(text: str, version: Version | None) -> None:
    assert parse(text) == version
    assert parse_runtime(f"cri-o://{text}") == ("cri-o", version)
