"""Copy-on-write edits."""

from __future__ import annotations

import copy

from tests.mutation import a_container, decide, mount_list, plain_pod


def test_an_object_that_occurs_twice_is_copied_for_each_edit() -> None:
    # YAML anchors can make two fields refer to one object.
    shared = [{"name": "data", "mountPath": "/data"}]
    containers = [a_container("a", volumeMounts=shared), a_container("b", volumeMounts=shared)]
    pod = plain_pod("s3://bucket/model", containers=containers, volumes=[{"name": "data", "emptyDir": {}}])
    before = copy.deepcopy(pod)
    after = decide(pod).mutated
    assert after is not None
    assert [mount["name"] for mount in mount_list(after, "a")] == ["data", "kserve-provision-location"]
    assert mount_list(after, "b") is shared
    assert pod == before


def test_unchanged_parts_are_shared_with_the_original() -> None:
    pod = plain_pod("s3://bucket/model", "a", "b", affinity={"nodeAffinity": {}})
    after = decide(pod).mutated
    assert after is not None
    assert after["spec"]["containers"][1] is pod["spec"]["containers"][1]
    assert after["spec"]["affinity"] is pod["spec"]["affinity"]
    assert after["metadata"] is pod["metadata"]
