"""Work grows at most linearly with the size of a request. It is measured in calls and in CPU time, never in seconds.

Every list, object and string of a request is made eight times as long, one after the other, also those inside of
annotations and settings. The work may become twelve times as much.
"""

from __future__ import annotations

import copy
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.hostile import (
    HOSTILE_PODS,
    HOSTILE_SETTINGS,
    ISTIO,
    OF_ANYBODY,
    OF_KUBERNETES,
    S3,
    SETTINGS,
    cpu_seconds,
    everything,
    many_containers,
    many_mounts,
    many_sources,
    of_a_pod,
    of_a_template,
    of_one_claim,
    of_settings,
    parse_a_megabyte,
    plain_json,
)
from tests.mutation import JsonObject, a_container, a_pod, decide, kserve_pod, patched, plain_pod, response
from webhook import annotations as keys
from webhook.settings.parse import parse

Path = tuple[str | int, ...]
Change = Callable[..., Any]
"""Makes a value longer; `times`: by how much."""

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


@pytest.mark.parametrize(
    ("pod", "size"),
    [
        (lambda n: plain_pod(S3, containers=[a_container(env=[{"name": f"E{i}"} for i in range(n)])]), 5_000),
        (lambda n: plain_pod(S3, containers=[a_container(env=n * [{"name": "STORAGE_URI", "value": "x"}])]), 5_000),
        (lambda n: plain_pod(S3, containers=[a_container(volumeMounts=many_mounts(n))]), 120),
        (lambda n: plain_pod("pvc://foo/m", volumes=[{"name": f"v{i}", "emptyDir": {}} for i in range(n)]), 120),
        (lambda n: plain_pod("pvc://foo/m", **of_one_claim(n)), 120),
        (lambda n: plain_pod(S3, containers=many_containers(n)), 120),
        (lambda n: plain_pod(S3, initContainers=many_containers(n), containers=[a_container()]), 120),
        (lambda n: plain_pod(S3, containers=many_containers(n), annotations={keys.CONTAINERS: f"c{n - 1}"}), 120),
        (lambda n: plain_pod(S3, containers=many_containers(n * 100)), 120),
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
    assert _calls(many_sources(10_000, scheme)) < _calls(many_sources(100, scheme)) / 10


# Models of one claim share a volume, so the mounts of all other models have its name.
@pytest.mark.parametrize("one_claim", [False, True])
def test_work_is_bounded_at_all_limits(one_claim: bool) -> None:
    # At most this number of calls for each model of each target, and for each mount of each target. Mounts are looked
    # up for a model, not searched: that would be twenty times as many.
    assert _calls(everything(60, one_claim=one_claim)) < 110 * 100 * 20 + 70 * 60 * 20


TARGETS = ["server", "second"]
URIS = [
    {"uri": "pvc://claim/a/b", "mountPath": "/mnt/a/b"},
    {"uri": "s3://bucket/model", "mountPath": "/mnt/c/d"},
    {"uri": "oci+native://registry/model:1", "mountPath": "/mnt/e/f"},
]
VARIABLES = [
    {"name": "HF_ENDPOINT", "value": "a"},
    {"name": "HF_HOME", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
]
OF_A_CONTAINER: JsonObject = {
    "args": ["--a=b"],
    "command": ["serve"],
    "env": [{"name": "A", "value": "b"}, {"name": "STORAGE_URI", "value": "c"}],
    "ports": [{"containerPort": 80, "name": "http"}],
    "volumeMounts": [{"name": "data", "mountPath": "/data/./a", "subPath": "b/c", "readOnly": True}],
    "volumeDevices": [{"name": "device", "devicePath": "/dev/a"}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
    "securityContext": {"capabilities": {"drop": ["ALL"]}},
}
SPEC: JsonObject = {
    "initContainers": [a_container("first", **OF_A_CONTAINER)],
    "volumes": [
        {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "image", "image": {"reference": "registry/model:1"}},
        {"name": "secret", "secret": {"secretName": "a", "items": [{"key": "a", "path": "b"}]}},
    ],
    "imagePullSecrets": [{"name": "registry"}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "nodeSelector": {"a": "b"},
}


def _filled(pod: JsonObject) -> JsonObject:
    """A pod with an item in every list and object that a step may read."""
    pod["spec"] |= copy.deepcopy(SPEC)
    for container in pod["spec"]["containers"]:
        container.update(copy.deepcopy(OF_A_CONTAINER))
    pod["metadata"] |= {
        "ownerReferences": [{"kind": "ReplicaSet", "name": "iris", "controller": True}],
        "managedFields": [{"manager": "a", "time": "2024-01-01T00:00:00Z", "fieldsV1": {"f:metadata": {"f:a": {}}}}],
        "finalizers": ["a/b"],
    }
    return pod


def _pods() -> dict[str, JsonObject]:
    own = {
        **ISTIO,
        "sidecar.istio.io/status": json.dumps({"containers": ["second"]}),
        keys.URIS: json.dumps(URIS),
        keys.CONTAINERS: ",".join(TARGETS),
        keys.ENV: json.dumps(VARIABLES),
        keys.ENV_FROM_CONTAINER: "true",
        keys.READ_ONLY: "maybe",
        "storage.kserve.io/readonly": "true",
        "storage.kserve.io/memory-limit": "1Gi",
        "kubectl.kubernetes.io/default-container": "server",
    }
    several_models = _filled(a_pod(*TARGETS, annotations=own))
    of_kserve = {
        keys.ENV: json.dumps(VARIABLES),
        **ISTIO,
        keys.IMAGE: "a:1",
        keys.CACHE: "pvc://cache/a",
        keys.SUPERVISE: "true",
        keys.STALL_TIMEOUT: "5m",
        keys.SHA256: 64 * "a",
        keys.INCLUDE: "*.bin,*.json",
        keys.MOUNT_PATH: "/mnt/a/b",
    }
    one_model = _filled(kserve_pod("s3://bucket/model", annotations=of_kserve))
    read_write = {keys.READ_ONLY: "false", keys.PATH_TYPE: "file"}
    one_claim = _filled(kserve_pod("pvc://claim/model/a.bin", annotations=read_write))
    modelcar = _filled(plain_pod("oci+modelcar://registry/model:1", annotations=ISTIO))
    writable = _filled(plain_pod("s3://bucket/model", annotations={keys.READ_ONLY: "false"}))
    for container in writable["spec"]["containers"]:
        container["securityContext"] = {"runAsUser": 0, "capabilities": {"add": ["KILL"], "drop": ["ALL"]}}
    again = patched(one_model, response(one_model, decide(one_model, SETTINGS)))
    pods = {"several": several_models, "one": one_model, "claim": one_claim, "modelcar": modelcar, "again": again}
    return {name: plain_json(pod) for name, pod in (pods | {"writable": writable}).items()}


AS_YAML = {"deploy": "a: &a [b, c]\nd: *a\ne:\n- f: g\n", "storageDefaults": "cache:\n  a: pvc://b\n  c: pvc://d\n"}


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where all lists, objects and strings in a JSON value are. Of a list, the first item stands for all."""
    if path and isinstance(value, dict | list | str):
        yield path
    inner = _parsed(value) if isinstance(value, str) else value
    # The models in an annotation differ.
    some = inner if isinstance(value, str) else inner[:1] if isinstance(inner, list) else ()
    items = inner.items() if isinstance(inner, dict) else enumerate(some or ())
    for key, each in items:
        yield from _places(each, (*path, key))


def _parsed(text: str) -> Any:
    """The JSON value in a string, such as an annotation; None when there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    if isinstance(value, str):
        return json.dumps(_changed(_parsed(value), path, change))
    copied = value.copy()
    copied[path[0]] = _changed(value[path[0]], path[1:], change)
    return copied


def _same(text: str, times: int) -> str:
    return text * times


def _segments(text: str, times: int) -> str:
    return text + "/a" * times


def _names(text: str, times: int) -> str:
    return ",".join(f"{text}{index}" for index in range(times))


def _lines(text: str, *, times: int) -> str:
    return text + "".join(f"k{index}: [a, b]\n" for index in range(times))


def _longer(value: Any, *, times: int, text: Callable[[str, int], str]) -> Any:
    """The value with so many times the items or the text. Items have names of their own, unless `text` is `_same`."""
    if isinstance(value, str):
        return text(value, times)
    if isinstance(value, dict):
        key, one = next(iter(value.items()), ("a", "b"))
        return value | {f"{key}{index}": one for index in range(times)}
    first = value[0] if value else "a"
    return value + [first if text is _same else _renamed(first, index) for index in range(times)]


def _renamed(item: Any, index: int) -> Any:
    if isinstance(item, str):
        return f"{item}{index}"
    if not isinstance(item, dict):
        return item
    return {key: f"{value}{index}" if isinstance(value, str) else value for key, value in item.items()}


def _assert_bounded(work: Callable[[bytes], None], found: Any, path: Path, change: Change) -> None:
    """Eight times the input costs at most twelve times the CPU, best of five."""
    for start in _sizes(found, path):
        small, large = (_changed(found, path, partial(change, times=times)) for times in (start, 8 * start))
        smalls, larges = [], []
        for _ in range(5):
            smalls.append(cpu_seconds(work, small))
            larges.append(cpu_seconds(work, large))
            if min(larges) <= 12 * min(smalls):
                break
        else:
            times = f"{min(smalls) * 1e3:.1f} ms, of {8 * start} {min(larges) * 1e3:.1f} ms"
            pytest.fail(f"{path} of {start} costs {times}")


def _sizes(found: Any, path: Path) -> Iterator[int]:
    """How often a value is repeated: up to the limits of a pod's lists, and up to those of its annotations."""
    for key in path:
        found = (_parsed(found) if isinstance(found, str) else found)[key]
    if not isinstance(found, str):
        yield 30
    item = list(found.items())[:1] if isinstance(found, dict) else found if isinstance(found, str) else found[:1]
    yield max(1, 10_000 // max(8, len(msgspec.json.encode(item))))


def _changes(found: Any, path: Path) -> Iterator[Change]:
    for key in path:
        found = (_parsed(found) if isinstance(found, str) else found)[key]
    texts = (_same, _segments, _names) if isinstance(found, str) else (_same, _names)
    for text in texts[1:] if isinstance(found, dict) else texts:
        yield partial(_longer, text=text)


PODS = _pods()
WORKLOAD: JsonObject = plain_json(
    {
        "kind": "Deployment",
        "metadata": {"annotations": {keys.PROGRESS_DEADLINE: "10m"}, "labels": {"a": "b"}},
        "spec": {"template": PODS["claim"]},
    }
)


@pytest.mark.parametrize("name", PODS)
def test_everything_in_a_pod_may_be_long(name: str) -> None:
    _assert_everything_may_be_long(of_a_pod, PODS[name])


def test_everything_in_a_workload_may_be_long() -> None:
    _assert_everything_may_be_long(of_a_template, WORKLOAD)


@pytest.mark.parametrize("data", [SETTINGS, {key: json.dumps(value) for key, value in SETTINGS.items()}, AS_YAML])
def test_everything_in_settings_may_be_long(data: JsonObject) -> None:
    _assert_everything_may_be_long(of_settings, {"data": data, "metadata": {"name": "a"}})
    for key in data if data is AS_YAML else ():
        _assert_bounded(of_settings, {"data": data}, ("data", key), _lines)


def _assert_everything_may_be_long(work: Callable[[bytes], None], found: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        for path in _places(found):
            for change in _changes(found, path):
                _assert_bounded(work, found, path, change)
    finally:
        gc.enable()


@pytest.mark.parametrize(("work", "found"), [*((of_a_pod, pod) for pod in PODS.values()), (of_a_template, WORKLOAD)])
def test_no_text_of_a_request_stays_in_memory(work: Callable[[bytes], None], found: JsonObject) -> None:
    """A cache of what a pod's author wrote holds as many texts as it has entries, each as long as a request may be."""
    tracemalloc.start()
    try:
        for path in _places(found):
            for filler in (" ", "a"):
                assert _kept(work, found, path, filler) < 2 * _LONG, path
    finally:
        tracemalloc.stop()


_LONG = 50_000


def _kept(work: Callable[[bytes], None], found: JsonObject, path: Path, filler: str) -> int:
    """The bytes that are still in use after four requests, each with another long text at this place."""

    def send(length: int) -> None:
        cpu_seconds(work, _changed(found, path, lambda value: f"{value}{filler * length}"))

    # What the first request loads stays, such as a module for its error message.
    send(_LONG)
    before = tracemalloc.get_traced_memory()[0]
    for more in range(1, 5):
        send(_LONG + more)
    kept = tracemalloc.get_traced_memory()[0] - before
    if kept < 2 * _LONG:
        return kept
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


def _assert_cheap(work: Callable[[bytes], None], found: Any, maximum: int) -> None:
    ratios = []
    for _ in range(5):
        ratios.append(cpu_seconds(work, found) / cpu_seconds(parse_a_megabyte, None))
        if ratios[-1] <= maximum:
            return
    pytest.fail(f"costs {min(ratios):.0f} times the work of reference, at most {maximum} is allowed")


@pytest.mark.parametrize("name", HOSTILE_PODS)
def test_no_pod_costs_much(name: str) -> None:
    _assert_cheap(of_a_pod, plain_json(HOSTILE_PODS[name]()), OF_KUBERNETES)


@pytest.mark.parametrize("name", HOSTILE_SETTINGS)
def test_no_settings_cost_much(name: str) -> None:
    _assert_cheap(of_settings, HOSTILE_SETTINGS[name], OF_ANYBODY)
