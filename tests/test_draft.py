"""Copy-on-write edits."""

from __future__ import annotations

import copy

from tests.mutation import a_container, decide, mount_list, plain_pod


def test_parts_that_the_input_shares_are_edited_apart() -> None:
    # Anchors in YAML make one object of two places.
    shared = [{"name": "data", "mountPath": "/data"}]
    containers = [a_container("a", volumeMounts=shared), a_container("b", volumeMounts=shared)]
    pod = plain_pod("s3://bucket/model", containers=containers, volumes=[{"name": "data", "emptyDir": {}}])
    before = copy.deepcopy(pod)
    after = decide(pod).pod
    assert after is not None
    assert [mount["name"] for mount in mount_list(after, "a")] == ["data", "kserve-provision-location"]
    assert mount_list(after, "b") is shared
    assert pod == before


def test_what_is_not_touched_stays_the_very_object() -> None:
    pod = plain_pod("s3://bucket/model", "a", "b", affinity={"nodeAffinity": {}})
    after = decide(pod).pod
    assert after is not None
    assert after["spec"]["containers"][1] is pod["spec"]["containers"][1]
    assert after["spec"]["affinity"] is pod["spec"]["affinity"]
    assert after["metadata"] is pod["metadata"]
