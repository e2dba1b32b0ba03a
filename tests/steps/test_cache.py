"""The shared cache: the pod that comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import decide, mutated, plain_pod, several
from webhook.facts import Claim, Facts, StorageContainer, UriFormat

CACHE = {"storage.kserve.io/cache": "pvc://models/cache"}
ROOT = "/mnt/storage-cache"
URI = "s3://bucket/iris"


def parts(pod: Any) -> tuple[Any, Any]:
    """The init container and the server."""
    return pod["spec"]["initContainers"][0], pod["spec"]["containers"][0]


def test_one_claim_is_written_at_its_root_and_read_below() -> None:
    pod = mutated(plain_pod(URI, annotations=CACHE))
    init, server = parts(pod)
    assert pod["spec"]["volumes"] == [{"name": "storage-cache", "persistentVolumeClaim": {"claimName": "models"}}]
    assert init["volumeMounts"] == [{"name": "storage-cache", "mountPath": ROOT}]
    (mount,) = server["volumeMounts"]
    assert mount["mountPath"] == "/mnt/models"
    assert mount["readOnly"] is True
    assert mount["subPath"].startswith("cache/")


def test_the_command_is_the_stock_images_own_wrapped() -> None:
    init, server = parts(mutated(plain_pod(URI, annotations=CACHE)))
    assert init["command"][0] == "python3"
    split = init["args"].index("--")
    assert init["args"][split + 1 :] == ["/storage-initializer/scripts/initializer-entrypoint", URI, "{}"]
    assert f"--root={ROOT}" in init["args"]
    assert f"--key={server['volumeMounts'][0]['subPath'].rpartition('/')[2]}" in init["args"]


def key_of(uri: str, **annotations: str) -> str:
    pod = mutated(plain_pod(uri, annotations={**CACHE, **annotations}))
    return str(parts(pod)[1]["volumeMounts"][0]["subPath"])


def test_pods_share_by_uri_and_not_by_place() -> None:
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
def test_the_settings_name_a_cache_for_a_namespace(namespace: str, annotations: Any, claim: str | None) -> None:
    outcome = decide(plain_pod(URI, annotations=annotations), DEFAULTS, namespace)
    assert outcome.pod is not None
    (volume,) = outcome.pod["spec"]["volumes"]
    assert volume.get("persistentVolumeClaim", {}).get("claimName") == claim


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({**CACHE, "storage.kserve.io/readonly": "false"}, "exclude each other"),
        ({"storage.kserve.io/cache": "s3://bucket"}, "must name a claim"),
        ({"storage.kserve.io/cache": "pvc://models/../x"}, "must not contain '..'"),
        ({"storage.kserve.io/cache": " "}, "is empty"),
    ],
)
def test_what_cannot_be_is_denied(annotations: dict[str, str], words: str) -> None:
    outcome = decide(plain_pod(URI, annotations=annotations))
    assert not outcome.allowed
    assert words in outcome.message
    assert "storage.kserve.io/cache" in outcome.message


@pytest.mark.parametrize("uri", ["pvc://claim/iris"])
def test_where_nothing_is_downloaded_a_cache_has_no_effect_and_warns(uri: str) -> None:
    outcome = decide(plain_pod(uri, annotations=CACHE))
    assert "has no effect" in outcome.warnings[0]
    assert outcome.pod is not None
    assert [volume["name"] for volume in outcome.pod["spec"]["volumes"]] == ["kserve-pvc-source"]


def test_several_models_are_not_shared() -> None:
    pod = several(("s3://a/b", "/mnt/m/a"), ("s3://c/d", "/mnt/m/c"))
    pod["metadata"]["annotations"].update(CACHE)
    assert "has no effect" in decide(pod).warnings[0]


def container(**fields: Any) -> Facts:
    return Facts(storage_containers=(StorageContainer("custom", fields, (UriFormat(prefix="s3://"),)),))


def test_a_storage_containers_command_is_wrapped() -> None:
    facts = container(image="custom:1", command=["python3", "/fetch.py"])
    outcome = decide(plain_pod(URI, annotations=CACHE), facts=facts)
    init, _ = parts(outcome.pod)
    split = init["args"].index("--")
    assert init["args"][split + 1 :] == ["python3", "/fetch.py", URI, "{}"]
    assert init["image"] == "custom:1"


def test_a_storage_container_without_command_is_denied_by_name() -> None:
    outcome = decide(plain_pod(URI, annotations=CACHE), facts=container(image="custom:1"))
    assert 'ClusterStorageContainer "custom" names no command' in outcome.message


def test_a_claim_for_one_node_warns() -> None:
    settings = {"storageDefaults": {"claims": {"read": True}}}
    facts = Facts(claims={"models": Claim(("ReadWriteOnce",))})
    outcome = decide(plain_pod(URI, annotations=CACHE), settings, facts=facts)
    assert 'claim "models" holds the shared cache' in outcome.warnings[0]
    assert "pods on one node" in outcome.warnings[0]


def test_what_is_injected_downloads_once_when_it_is_run(tmp_path: Path) -> None:
    """The command as it stands in the pod, with a downloader of ours in the place of the image's."""
    downloader = tmp_path / "downloader.py"
    downloader.write_text(
        "import pathlib, sys\n"
        "log = pathlib.Path(__file__).with_name('log')\n"
        "log.write_text(log.read_text() + 'x' if log.exists() else 'x')\n"
        "pathlib.Path(sys.argv[2], 'model.bin').write_bytes(b'weights')\n"
    )
    facts = container(image="custom:1", command=[sys.executable, str(downloader)])
    init, server = parts(decide(plain_pod(URI, annotations=CACHE), facts=facts).pod)
    claim = tmp_path / "claim"
    claim.mkdir()
    words = [word.replace(ROOT, str(claim)) for word in (*init["command"], *init["args"])]
    words.insert(words.index("--"), f"--termination-log={tmp_path / 'termination-log'}")
    for _ in range(2):
        subprocess.run([word.replace("$$(", "$(") for word in words], check=True)
    assert (claim / server["volumeMounts"][0]["subPath"] / "model.bin").read_bytes() == b"weights"
    assert (tmp_path / "log").read_text() == "x"
