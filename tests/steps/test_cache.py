"""The shared cache: the mutated pod."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import answer, decide, initializer, mutated, plain_pod, several
from webhook.cluster.facts import Claim, Facts
from webhook.storage_container import StorageContainer, UriFormat

CACHE = {"storage.kserve.io/cache": "pvc://models/cache"}
ROOT = "/mnt/storage-cache"
URI = "s3://bucket/iris"


def parts(pod: Any) -> tuple[Any, Any]:
    """The init container and the target container."""
    return pod["spec"]["initContainers"][0], pod["spec"]["containers"][0]


def test_init_container_mounts_the_root_and_targets_the_model_directory() -> None:
    pod = mutated(plain_pod(URI, annotations=CACHE))
    init, server = parts(pod)
    assert pod["spec"]["volumes"] == [{"name": "storage-cache", "persistentVolumeClaim": {"claimName": "models"}}]
    assert init["volumeMounts"] == [{"name": "storage-cache", "mountPath": ROOT}]
    (mount,) = server["volumeMounts"]
    assert mount["mountPath"] == "/mnt/models"
    assert mount["readOnly"] is True
    assert mount["subPath"].startswith("cache/")


def test_entry_point_of_the_stock_image_is_wrapped() -> None:
    init, server = parts(mutated(plain_pod(URI, annotations=CACHE)))
    assert init["command"][0] == "python3"
    assert init["args"][1:] == ["/storage-initializer/scripts/initializer-entrypoint", URI, "{}"]
    options = json.loads(init["args"][0])
    assert options["root"] == ROOT
    assert options["key"] == server["volumeMounts"][0]["subPath"].rpartition("/")[2]


def key_of(uri: str, **annotations: str) -> str:
    pod = mutated(plain_pod(uri, annotations={**CACHE, **annotations}))
    return str(parts(pod)[1]["volumeMounts"][0]["subPath"])


def test_key_depends_on_the_uri_and_not_on_the_mount_path() -> None:
    assert key_of(URI) == key_of(URI, **{"storage.kserve.io/mount-path": "/models"})
    assert key_of(URI) != key_of(URI + "/v2")


DEFAULTS = {"storageDefaults": {"cache": {"models": "pvc://shared/a", "*": "pvc://everyone"}}}


@pytest.mark.parametrize(
    ("namespace", "annotations", "claim"),
    [
        ("models", {}, "shared"),
        ("other", {}, "everyone"),
        ("models", CACHE, "models"),
        ("models", {"storage.kserve.io/cache": "none"}, None),
        ("models", {"storage.kserve.io/readonly": "false"}, None),
    ],
)
def test_cache_of_a_namespace_from_the_settings(namespace: str, annotations: Any, claim: str | None) -> None:
    outcome = decide(plain_pod(URI, annotations=annotations), DEFAULTS, namespace)
    assert outcome.mutated is not None
    (volume,) = outcome.mutated["spec"]["volumes"]
    assert volume.get("persistentVolumeClaim", {}).get("claimName") == claim


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({**CACHE, "storage.kserve.io/readonly": "false"}, "cannot be combined"),
        ({"storage.kserve.io/cache": "s3://bucket"}, "must name a claim"),
        ({"storage.kserve.io/cache": "pvc://models/../x"}, "must not contain '..'"),
        ({"storage.kserve.io/cache": " "}, "is empty"),
    ],
)
def test_invalid_annotation_is_denied(annotations: dict[str, str], words: str) -> None:
    outcome = decide(plain_pod(URI, annotations=annotations))
    assert not outcome.allowed
    assert words in outcome.message
    assert "storage.kserve.io/cache" in outcome.message


@pytest.mark.parametrize("uri", ["pvc://claim/iris"])
def test_cache_without_a_download_is_warned_about(uri: str) -> None:
    outcome = decide(plain_pod(uri, annotations=CACHE))
    assert "has no effect" in outcome.warnings[0]
    assert outcome.mutated is not None
    assert [volume["name"] for volume in outcome.mutated["spec"]["volumes"]] == ["kserve-pvc-source"]


def test_several_models_are_not_cached() -> None:
    pod = several(("s3://a/b", "/mnt/m/a"), ("s3://c/d", "/mnt/m/c"))
    pod["metadata"]["annotations"].update(CACHE)
    assert "has no effect" in decide(pod).warnings[0]


def container(**fields: Any) -> Facts:
    return Facts(storage_containers=(StorageContainer("custom", fields, (UriFormat(prefix="s3://"),)),))


def test_command_of_a_storage_container_is_wrapped() -> None:
    facts = container(image="custom:1", command=["python3", "/fetch.py"])
    outcome = decide(plain_pod(URI, annotations=CACHE), facts=facts)
    init, _ = parts(outcome.mutated)
    assert init["args"][1:] == ["python3", "/fetch.py", URI, "{}"]
    assert init["image"] == "custom:1"


def test_storage_container_without_a_command_is_denied() -> None:
    outcome = decide(plain_pod(URI, annotations=CACHE), facts=container(image="custom:1"))
    assert 'ClusterStorageContainer "custom" has no command' in outcome.message


def test_claim_for_one_node_is_warned_about() -> None:
    settings = {"storageDefaults": {"claims": {"read": True}}}
    facts = Facts(claims={"models": Claim(("ReadWriteOnce",))})
    outcome = decide(plain_pod(URI, annotations=CACHE), settings, facts=facts)
    assert 'claim "models" holds the shared cache' in outcome.warnings[0]
    assert "pods on one node" in outcome.warnings[0]


def test_injected_command_downloads_once(tmp_path: Path) -> None:
    """Runs the injected command with a test downloader instead of the image's."""
    downloader = tmp_path / "downloader.py"
    downloader.write_text(
        "import pathlib, sys\n"
        "log = pathlib.Path(__file__).with_name('log')\n"
        "log.write_text(log.read_text() + 'x' if log.exists() else 'x')\n"
        "pathlib.Path(sys.argv[2], 'model.bin').write_bytes(b'weights')\n"
    )
    facts = container(image="custom:1", command=[sys.executable, str(downloader)])
    init, server = parts(decide(plain_pod(URI, annotations=CACHE), facts=facts).mutated)
    claim = tmp_path / "claim"
    claim.mkdir()
    words = [word.replace(ROOT, str(claim)) for word in (*init["command"], *init["args"])]
    words = [word.replace("/dev/termination-log", str(tmp_path / "log-of-the-pod")) for word in words]
    for _ in range(2):
        subprocess.run([word.replace("$$", "$") for word in words], check=True)
    assert (claim / server["volumeMounts"][0]["subPath"] / "model.bin").read_bytes() == b"weights"
    assert (tmp_path / "log").read_text() == "x"


@pytest.mark.parametrize(
    ("context", "advice"),
    [
        ({}, "Set fsGroup in the pod's securityContext"),
        ({"fsGroup": 2000}, "The claim's driver does not apply fsGroup 2000"),
    ],
)
def test_the_advice_about_a_denied_access_depends_on_the_pods_group(context: Any, advice: str) -> None:
    pod = plain_pod("s3://models/iris", annotations={"storage.kserve.io/cache": "pvc://cache"}, securityContext=context)
    assert advice in json.loads(initializer(mutated(pod))["args"][0])["advice"]


COPIED = {**CACHE, "storage.kserve.io/cache-mount": "copy"}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_pod_can_have_a_copy_of_its_own(read_only: bool) -> None:
    annotations = COPIED if read_only else {**COPIED, "storage.kserve.io/readonly": "false"}
    pod = mutated(plain_pod(URI, annotations=annotations))
    init, server = parts(pod)
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["kserve-provision-location"]["emptyDir"] == {}
    assert init["volumeMounts"] == [
        {"name": "storage-cache", "mountPath": ROOT},
        {"name": "kserve-provision-location", "mountPath": "/mnt/models"},
    ]
    (mount,) = server["volumeMounts"]
    assert (mount["name"], mount.get("readOnly", False)) == ("kserve-provision-location", read_only)
    assert json.loads(init["args"][0])["copy"] == "/mnt/models"


def test_pods_with_and_without_a_copy_share_a_download() -> None:
    direct, copied = (mutated(plain_pod(URI, annotations=each)) for each in (CACHE, COPIED))
    keys = {json.loads(parts(pod)[0]["args"][0])["key"] for pod in (direct, copied)}
    assert len(keys) == 1


def test_a_copy_is_made_once_when_the_webhook_is_called_again() -> None:
    pod = mutated(plain_pod(URI, annotations=COPIED))
    assert "patch" not in answer(pod)


@pytest.mark.parametrize("path", ["/mnt", "/mnt/", "//mnt"])
def test_a_copy_at_a_path_that_contains_the_cache_is_denied(path: str) -> None:
    """The directory is emptied before the copy, and the claim is mounted inside it."""
    outcome = decide(plain_pod(URI, annotations={**COPIED, "storage.kserve.io/mount-path": path}))
    assert f'contains the mount path "{ROOT}" of volume "storage-cache"' in outcome.message


def test_a_copy_to_a_claim_of_the_pods_own_is_denied() -> None:
    volume = {"name": "kserve-provision-location", "persistentVolumeClaim": {"claimName": "mine"}}
    outcome = decide(plain_pod(URI, annotations=COPIED, volumes=[volume]))
    assert "cache-mount copy cannot be combined with the pod's claim" in outcome.message


def test_an_unknown_way_to_mount_the_cache_is_denied() -> None:
    outcome = decide(plain_pod(URI, annotations={**CACHE, "storage.kserve.io/cache-mount": "link"}))
    assert 'cache-mount "link" is invalid: use direct or copy' in outcome.message


def test_a_way_to_mount_no_cache_gets_a_warning() -> None:
    outcome = decide(plain_pod(URI, annotations={"storage.kserve.io/cache-mount": "copy"}))
    assert ["cache-mount has no effect" in warning for warning in outcome.warnings] == [True]


def test_a_copied_download_is_not_supervised_and_says_so() -> None:
    outcome = decide(plain_pod(URI, annotations={**COPIED, "storage.kserve.io/supervise": "true"}))
    assert ["have no effect with storage.kserve.io/cache-mount copy" in each for each in outcome.warnings] == [True]
