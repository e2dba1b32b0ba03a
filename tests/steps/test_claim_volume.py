"""One claim is one volume: the pod's own volume is used where it can serve, and otherwise one is added."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kserve import kserve_injected
from tests.mutation import (
    JsonObject,
    a_container,
    answer,
    denied,
    initializer,
    kserve_pod,
    mount_list,
    mounts,
    mutated,
    names,
    patched,
    plain_pod,
    several,
    volumes,
)
from webhook import annotations as keys

READ_WRITE = {str(keys.READ_ONLY): "false"}
COPY = {str(keys.PVC_MOUNT): "copy"}
CACHE = {str(keys.CACHE): "pvc://models/cache"}
MAX_SHOWN = 256


def _volume(name: str = "hf-cache", claim: str = "models", **fields: Any) -> JsonObject:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, **fields}}


def _server(*volume_mounts: JsonObject, name: str = "server") -> JsonObject:
    return a_container(name, volumeMounts=list(volume_mounts))


HF_CACHE = {"name": "hf-cache", "mountPath": "/root/.cache", "subPath": "hf"}


def _own(**volume: Any) -> JsonObject:
    """Fields of a pod that mounts the claim itself."""
    return {"containers": [_server(HF_CACHE)], "volumes": [_volume(**volume)]}


def _volumes_by_claim(pod: JsonObject) -> Counter[str]:
    found = (volume.get("persistentVolumeClaim") for volume in pod["spec"].get("volumes") or ())
    return Counter(source["claimName"] for source in found if source)


def _warnings(pod: JsonObject) -> list[str]:
    found: list[str] = answer(pod).get("warnings", [])
    return found


# --- Several paths of one claim -------------------------------------------------------------------------------------


def test_several_paths_of_a_claim_share_a_volume() -> None:
    pod = mutated(
        several(
            ("pvc://models/base", "/mnt/base"),
            ("pvc://models/loras/sql", "/mnt/loras/sql"),
            ("pvc://models/loras/fin", "/mnt/loras/fin"),
        )
    )
    assert pod["spec"]["volumes"] == [_volume("mnt-base")]
    assert mounts(pod["spec"]["containers"][0]) == {
        "/mnt/base": {"name": "mnt-base", "subPath": "base", "readOnly": True},
        "/mnt/loras/sql": {"name": "mnt-base", "subPath": "loras/sql", "readOnly": True},
        "/mnt/loras/fin": {"name": "mnt-base", "subPath": "loras/fin", "readOnly": True},
    }


def test_each_claim_has_a_volume_named_after_its_first_path() -> None:
    pod = mutated(several(("pvc://a/1", "/m/1"), ("pvc://b/1", "/m/2"), ("pvc://a/2", "/m/3"), ("pvc://b/2", "/m/4")))
    assert pod["spec"]["volumes"] == [_volume("m-1", "a"), _volume("m-2", "b")]
    assert [mount["name"] for mount in mount_list(pod)] == ["m-1", "m-2", "m-1", "m-2"]


def test_init_container_mounts_the_shared_volume_inside_the_download_directory() -> None:
    pod = mutated(
        several(
            ("s3://b/a", "/mnt/a"), ("s3://b/b", "/mnt/b"), ("pvc://models/x", "/mnt/c"), ("pvc://models/y", "/mnt/d")
        )
    )
    assert mounts(initializer(pod)) == {
        "/mnt": {"name": "mnt"},
        "/mnt/c": {"name": "mnt-c", "subPath": "x", "readOnly": True},
        "/mnt/d": {"name": "mnt-c", "subPath": "y", "readOnly": True},
    }


# --- The pod's own volume -------------------------------------------------------------------------------------------

USES = {
    "direct": lambda **own: plain_pod("pvc://models/llama", **own),
    "file": lambda **own: plain_pod("pvc://models/llama.gguf", **own),
    "read-write": lambda **own: plain_pod("pvc://models/llama", annotations=READ_WRITE, **own),
    "copy": lambda **own: plain_pod("pvc://models/llama", annotations=COPY, **own),
    "cache": lambda **own: plain_pod("s3://bucket/llama", annotations=CACHE, **own),
    "several": lambda **own: several(("pvc://models/a", "/mnt/a"), ("pvc://models/b", "/mnt/b"), **own),
    "several-read-write": lambda **own: _annotated(several(("pvc://models/a", "/mnt/a"), **own), READ_WRITE),
    "kserve-copy": lambda **own: _renamed(kserve_pod("pvc://models/llama", annotations=COPY, **own)),
    "kserve-cache": lambda **own: _renamed(kserve_pod("s3://bucket/llama", annotations=CACHE, **own)),
    "kserve-without-its-uri": lambda **own: _annotated(
        _renamed(kserve_pod("", **own)), {str(keys.URI): "pvc://models/llama"}, without=keys.SOURCE_URI
    ),
}
WRITING = ("read-write", "cache", "several-read-write", "kserve-cache")


def _annotated(pod: JsonObject, annotations: dict[str, str], without: str = "") -> JsonObject:
    pod["metadata"]["annotations"] |= annotations
    pod["metadata"]["annotations"].pop(str(without), None)
    return pod


def _renamed(pod: JsonObject) -> JsonObject:
    """The pod with KServe's name for its first container."""
    pod["spec"]["containers"][0]["name"] = "kserve-container"
    return pod


@pytest.mark.parametrize("use", USES)
def test_the_pods_own_volume_is_used(use: str) -> None:
    pod = USES[use](**_own())
    after = mutated(pod)
    assert _volumes_by_claim(after) == {"models": 1}
    own, *model = after["spec"]["containers"][0]["volumeMounts"]
    assert own == HF_CACHE
    assert "hf-cache" in names(model)
    assert _warnings(pod) == []


@pytest.mark.parametrize("use", [use for use in USES if use not in WRITING])
def test_a_read_only_volume_serves_what_only_reads(use: str) -> None:
    pod = USES[use](**_own(readOnly=True))
    assert _volumes_by_claim(mutated(pod)) == {"models": 1}
    assert _warnings(pod) == []


@pytest.mark.parametrize("use", WRITING)
def test_a_read_only_volume_does_not_serve_what_writes(use: str) -> None:
    pod = USES[use](**_own(readOnly=True))
    after = mutated(pod)
    added = next(volume for volume in after["spec"]["volumes"] if volume == _volume(volume["name"]))
    written = [*(after["spec"].get("initContainers") or ()), *after["spec"]["containers"]][0]["volumeMounts"]
    assert {"name": added["name"], "readOnly": None} in [
        {"name": mount["name"], "readOnly": mount.get("readOnly")} for mount in written
    ]
    (warning,) = _warnings(pod)
    assert 'remove readOnly from volume "hf-cache"' in warning
    assert '"models"' in warning[:MAX_SHOWN]


@pytest.mark.parametrize("use", WRITING)
def test_a_read_only_volume_with_the_name_of_the_added_one_is_said(use: str) -> None:
    taken = {"direct": "kserve-pvc-source", "several": "mnt-a", "cache": "storage-cache"}
    name = next((taken[kind] for kind in ("several", "cache") if kind in use), "kserve-pvc-source")
    (warning,) = _warnings(USES[use](volumes=[_volume(name, readOnly=True)], containers=[_server()]))
    assert f'remove readOnly from volume "{name}"' in warning


def test_a_name_in_use_by_a_read_only_volume_is_avoided() -> None:
    for use in ("several-read-write", "cache"):
        name = "storage-cache" if use == "cache" else "mnt-a"
        after = mutated(USES[use](volumes=[_volume(name, readOnly=True)], containers=[_server()]))
        assert len(set(names(after["spec"]["volumes"]))) == 2


def test_volumes_of_other_claims_are_not_used() -> None:
    pod = mutated(plain_pod("pvc://models/llama", containers=[_server(HF_CACHE)], volumes=[_volume(claim="other")]))
    assert _volumes_by_claim(pod) == {"other": 1, "models": 1}
    assert mount_list(pod)[1]["name"] == "kserve-pvc-source"


def test_a_mount_of_the_own_volume_at_the_mount_path_of_the_same_model_is_used() -> None:
    own = {"name": "hf-cache", "mountPath": "/mnt/models/", "subPath": "/llama"}
    pod = mutated(plain_pod("pvc://models/llama", containers=[_server(own)], volumes=[_volume()]))
    assert mount_list(pod) == [{"name": "hf-cache", "mountPath": "/mnt/models", "subPath": "llama", "readOnly": True}]


@pytest.mark.parametrize(
    "taken",
    [
        {"name": "hf-cache", "mountPath": "/mnt/models"},
        {"name": "hf-cache", "mountPath": "/mnt/models/", "subPath": "another"},
        {"name": "hf-cache", "mountPath": "/mnt/models", "subPathExpr": "$(MODEL)"},
    ],
)
def test_another_path_of_the_own_volume_at_the_mount_path_is_denied(taken: JsonObject) -> None:
    message = denied(plain_pod("pvc://models/llama", containers=[_server(taken)], volumes=[_volume()]))
    assert 'container "server" already mounts volume "hf-cache"' in message


def test_a_mount_of_the_own_volume_at_another_path_is_not_moved() -> None:
    own = {"name": "hf-cache", "mountPath": "/mnt/models", "subPath": "llama"}
    annotations = {keys.MOUNT_PATH: "/opt/model"}
    pod = mutated(
        plain_pod("pvc://models/llama", annotations=annotations, containers=[_server(own)], volumes=[_volume()])
    )
    assert mount_list(pod) == [
        own,
        {"name": "hf-cache", "mountPath": "/opt/model", "subPath": "llama", "readOnly": True},
    ]


# --- A second call --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["direct", "file", "read-write", "several", "several-read-write"])
def test_a_volume_that_another_webhook_adds_or_moves_is_not_taken_instead(use: str) -> None:
    once = mutated(USES[use](containers=[_server()], volumes=[]))
    for others in ([_volume("late")], [_volume("late"), _volume("later", readOnly=True)]):
        spec = {**once["spec"], "volumes": [*others, *reversed(once["spec"]["volumes"])]}
        changed = {**once, "spec": spec}
        assert patched(changed, answer(changed)) == changed


@pytest.mark.parametrize("use", ["direct", "several"])
def test_the_choice_among_the_pods_own_volumes_is_kept(use: str) -> None:
    own = [_volume("one"), _volume("two"), _volume("three")]
    once = mutated(USES[use](containers=[_server()], volumes=own))
    assert once["spec"]["volumes"] == own
    assert set(names(mount_list(once))) == {"one"}
    changed = {**once, "spec": {**once["spec"], "volumes": own[::-1]}}
    assert patched(changed, answer(changed)) == changed


def test_a_mount_made_with_other_settings_is_moved_and_keeps_its_volume() -> None:
    directories = {"storageDefaults": {"singleFile": [".onnx"]}}
    own = {"containers": [_server()], "volumes": [_volume("one"), _volume("two")]}
    for pod in (plain_pod("pvc://models/a.gguf", **own), several(("pvc://models/a.gguf", "/mnt/models"), **own)):
        once = mutated(pod, directories)
        once["spec"]["volumes"].reverse()
        (mount,) = mount_list(mutated(once))
        assert (mount["name"], mount["mountPath"]) == ("one", "/mnt/models/a.gguf")


def test_a_pod_with_a_volume_for_each_path_keeps_them() -> None:
    # Releases up to 0.1.0 made such pods.
    three = several(*((f"pvc://models/{name}", f"/mnt/{name}") for name in "abc"))
    three["spec"]["volumes"] = [_volume(f"mnt-{name}") for name in "abc"]
    three["spec"]["containers"] = [
        _server(
            *({"name": f"mnt-{name}", "mountPath": f"/mnt/{name}", "subPath": name, "readOnly": True} for name in "abc")
        )
    ]
    assert patched(three, answer(three)) == three


# --- Pods of KServe -------------------------------------------------------------------------------------------------


def test_a_pod_of_kserve_gets_the_volume_that_kserve_looks_for_and_a_warning() -> None:
    pod = _renamed(kserve_pod("pvc://models/llama", **_own()))
    after = mutated(pod)
    assert after["spec"]["volumes"] == [_volume(), _volume("kserve-pvc-source")]
    (warning,) = _warnings(pod)
    assert 'rename volume "hf-cache" to "kserve-pvc-source"' in warning
    assert '"models"' in warning[:MAX_SHOWN]
    assert kserve_injected(after)["spec"]["volumes"] == after["spec"]["volumes"]


@pytest.mark.parametrize("annotations", [{}, COPY], ids=["direct", "copy"])
def test_two_volumes_after_kserves_webhook_are_said_too(annotations: dict[str, str]) -> None:
    pod = kserve_injected(_renamed(kserve_pod("pvc://models/llama", annotations=annotations, **_own())))
    assert _volumes_by_claim(mutated(pod)) == {"models": 2}
    (warning,) = _warnings(pod)
    assert 'rename volume "hf-cache" to "kserve-pvc-source"' in warning


def test_the_warning_names_the_way_out_in_what_kubernetes_shows() -> None:
    name, claim = "v" * 63, "c" * 253
    own = {"containers": [_server()], "volumes": [_volume(name, claim)]}
    (warning,) = _warnings(_renamed(kserve_pod(f"pvc://{claim}/llama", **own)))
    assert f'rename volume "{name}" to "kserve-pvc-source"' in warning[:MAX_SHOWN]


def test_a_pod_of_kserve_that_follows_the_warning_has_one_volume() -> None:
    own = {
        "containers": [_server({**HF_CACHE, "name": "kserve-pvc-source"})],
        "volumes": [_volume("kserve-pvc-source")],
    }
    pod = _renamed(kserve_pod("pvc://models/llama", **own))
    after = mutated(pod)
    assert _volumes_by_claim(after) == _volumes_by_claim(kserve_injected(after)) == {"models": 1}
    assert _warnings(pod) == []


# --- Property -------------------------------------------------------------------------------------------------------

CLAIMS = ("models", "other")
_own_volumes = st.lists(
    st.builds(
        _volume,
        st.sampled_from(("data", "hf-cache", "kserve-pvc-source", "storage-cache", "mnt-a", "mnt-b")),
        st.sampled_from(CLAIMS),
        readOnly=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda volume: volume["name"],
)
_paths = st.sampled_from(("", "/llama", "/llama.gguf"))
_claim_uris = st.builds("pvc://{}{}".format, st.sampled_from(CLAIMS), _paths)
_uris = st.one_of(_claim_uris, st.just("s3://bucket/model"))
_sources = st.lists(
    st.tuples(_uris, st.sampled_from(("/mnt/a", "/mnt/b", "/mnt/c"))), min_size=1, unique_by=lambda source: source[1]
)
_options = st.fixed_dictionaries(
    {}, optional={str(keys.READ_ONLY): st.sampled_from(("true", "false")), str(keys.PVC_MOUNT): st.just("copy")}
)
_caches: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}), st.builds(lambda claim: {str(keys.CACHE): f"pvc://{claim}"}, st.sampled_from(CLAIMS))
)


@st.composite
def _pods(draw: st.DrawFn) -> JsonObject:
    own = draw(_own_volumes)
    used = [{"name": volume["name"], "mountPath": f"/own/{index}"} for index, volume in enumerate(own)]
    spec = {"containers": [_server(*used, name="kserve-container")], "volumes": own}
    kind = draw(st.sampled_from(("plain", "kserve", "several")))
    if kind == "several":
        pod, options = several(*draw(_sources), **spec), {**draw(_options)}
        options.pop(str(keys.PVC_MOUNT), None)
        return _annotated(pod, options)
    made = plain_pod if kind == "plain" else kserve_pod
    options = draw(_options)
    # A cache cannot be combined with a model that is mounted read-write.
    cache = {} if options.get(str(keys.READ_ONLY)) == "false" else draw(_caches)
    return made(draw(_uris), annotations={**options, **cache}, **spec)


def _must_be_added(pod: JsonObject, claim: str) -> bool:
    """Whether no volume of the pod may serve the claim: KServe requires another, or all are read-only."""
    annotations = pod["metadata"]["annotations"]
    kserve_uri = annotations.get(str(keys.SOURCE_URI), "")
    if kserve_uri.startswith("pvc://") and (
        str(keys.PVC_MOUNT) not in annotations or "kserve-pvc-source" in volumes(pod)
    ):
        return True
    writes = annotations.get(str(keys.READ_ONLY)) == "false" or str(keys.CACHE) in annotations
    sources = [each["persistentVolumeClaim"] for each in pod["spec"]["volumes"]]
    return writes and all(source.get("readOnly") for source in sources if source["claimName"] == claim)


@given(_pods())
def test_claims_get_no_second_volume_and_a_second_call_changes_nothing(pod: JsonObject) -> None:
    result = answer(pod)
    if not result["allowed"]:
        assert "already has a volume" in result["status"]["message"]  # of another claim
        return
    after = mutated(pod)
    assert set(names(mount_list(after, "kserve-container"))) <= set(volumes(after))
    brought = _volumes_by_claim(pod)
    for claim, count in _volumes_by_claim(after).items():
        if count > max(1, brought[claim]):
            assert count == brought[claim] + 1
            assert _must_be_added(pod, claim)
            assert any(f'"{claim}"' in warning for warning in result["warnings"])
