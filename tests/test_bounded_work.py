"""Work grows at most linearly with the size of a pod. It is measured in function calls, not in seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.mutation import JsonObject, a_container, decide, plain_pod, several
from webhook import annotations as keys
from webhook.settings.parse import parse

S3 = "s3://bucket/model"
IMAGES = {"storageDefaults": {"overrides": {"image": ["registry.example.com/*", "*a*a*a*a*"]}}}


def _calls(pod: JsonObject) -> int:
    """The number of function calls for the decision about a pod, including resumed generators."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event.endswith("call")

    parse(IMAGES)
    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        decide(pod, IMAGES)
    finally:
        sys.setprofile(before)
    return count


def _mounts(size: int) -> list[JsonObject]:
    return [{"name": f"v{index}", "mountPath": f"/v{index}"} for index in range(size)]


def _of_one_claim(size: int) -> JsonObject:
    """Fields of a pod whose volumes and mounts are all of the model's claim."""
    volumes = [{"name": f"v{index}", "persistentVolumeClaim": {"claimName": "foo"}} for index in range(size)]
    return {"containers": [a_container(volumeMounts=_mounts(size))], "volumes": volumes}


def _containers(size: int) -> list[JsonObject]:
    return [a_container(f"c{index}") for index in range(size)]


def _sources(size: int, scheme: str) -> JsonObject:
    return several(*((f"{scheme}://b{index}/m", f"/mnt/{index}/m") for index in range(size)))


def _everything(size: int, *, one_claim: bool = False) -> JsonObject:
    """The maximum number of models and targets, with `size` mounts each; `one_claim`: all volumes are of one claim."""
    names = [f"c{index}" for index in range(20)]
    claims = ["foo"] * 100 if one_claim else [f"b{index}" for index in range(100)]
    sources = [{"uri": f"pvc://{claim}/{index}", "mountPath": f"/mnt/{index}"} for index, claim in enumerate(claims)]
    annotations = {str(keys.URIS): json.dumps(sources), str(keys.CONTAINERS): ",".join(names)}
    pod = plain_pod("", containers=[a_container(name, volumeMounts=_mounts(size)) for name in names])
    pod["spec"]["volumes"] = [{"name": f"v{index}", "emptyDir": {}} for index in range(size)]
    if one_claim:
        pod["spec"]["volumes"] = _of_one_claim(size)["volumes"]
    pod["metadata"]["annotations"] = annotations
    return pod


@pytest.mark.parametrize(
    ("pod", "size"),
    [
        (lambda n: plain_pod(S3, containers=[a_container(env=[{"name": f"E{i}"} for i in range(n)])]), 5_000),
        (lambda n: plain_pod(S3, containers=[a_container(env=n * [{"name": "STORAGE_URI", "value": "x"}])]), 5_000),
        (lambda n: plain_pod(S3, containers=[a_container(volumeMounts=_mounts(n))]), 120),
        (lambda n: plain_pod("pvc://foo/m", volumes=[{"name": f"v{i}", "emptyDir": {}} for i in range(n)]), 120),
        (lambda n: plain_pod("pvc://foo/m", **_of_one_claim(n)), 120),
        (lambda n: plain_pod(S3, containers=_containers(n)), 120),
        (lambda n: plain_pod(S3, initContainers=_containers(n), containers=[a_container()]), 120),
        (lambda n: plain_pod(S3, containers=_containers(n), annotations={keys.CONTAINERS: f"c{n - 1}"}), 120),
        (lambda n: plain_pod(S3, containers=_containers(n * 100)), 120),
        (lambda n: plain_pod(S3, annotations={f"{keys.PREFIX}{i}": "" for i in range(n)}), 5_000),
        (lambda n: plain_pod(S3, annotations={keys.PREFIX + n * "x": ""}), 100_000),
        (lambda n: plain_pod(S3, annotations={keys.IMAGE: n * "a" + "!"}), 50_000),
        (lambda n: plain_pod(S3, annotations={keys.CONTAINERS: ",".join(map(str, range(n)))}), 50_000),
        (lambda n: plain_pod(S3, annotations={keys.MOUNT_PATH: n * "/a"}), 50_000),
        (lambda n: plain_pod("pvc://" + n * "a." + "!"), 50_000),
        (lambda n: plain_pod(n * " "), 50_000),
    ],
)
def test_work_grows_at_most_linearly(pod: Callable[[int], JsonObject], size: int) -> None:
    _calls(pod(size))
    assert _calls(pod(2 * size)) < 2.1 * _calls(pod(size)) + 1_000


@pytest.mark.parametrize("scheme", ["pvc", "s3"])
def test_the_number_of_models_is_limited(scheme: str) -> None:
    assert _calls(_sources(10_000, scheme)) < _calls(_sources(100, scheme)) / 10


# Models of one claim share a volume, so the mounts of all other models have its name.
@pytest.mark.parametrize(("one_claim", "calls"), [(False, 6), (True, 16)])
def test_work_is_bounded_at_all_limits(one_claim: bool, calls: int) -> None:
    # At most this number of calls for each mount of each target and model.
    assert _calls(_everything(60, one_claim=one_claim)) < calls * 100 * 20 * 60
