"""A shared cache that is warmed before the pods, copied into them, and repaired."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.api import Object
from tests.mutation import plain_pod
from tests.node import images
from tests.node.cases import case, digests
from tests.node.cluster import Cluster
from tests.node.servers import Web
from tests.node.test_cache import CACHED, WEIGHTS, cached
from webhook.annotations import CACHE_MOUNT, SHA256

COPIED = {**CACHED, str(CACHE_MOUNT): "copy"}


def storage_webhook(cluster: Cluster, *arguments: str, status: int = 0) -> str:
    """The output of `storage-webhook cache`, as the administrator."""
    environ = {"KUBECONFIG": str(cluster.api.plane.kubeconfig), "PATH": ""}
    command = [sys.executable, "-m", "webhook", "cache", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def copying(url: str, **annotations: str) -> Object:
    return plain_pod(f"{url}/weights.bin", annotations={**COPIED, **annotations})


@case("shared cache, `cache warm --apply --wait` before a pod", "the file in the pod; one GET")
def test_a_warmed_cache_is_not_downloaded_again(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("warmed", WEIGHTS)
    cluster.claim(namespace, "cache", {})
    options = ("--claim", "pvc://cache/models", "-n", namespace, "--image", images.INITIALIZER, "--apply", "--wait")
    for words in ("created", "exists already"):
        output = storage_webhook(cluster, "warm", f"{url}/weights.bin", *options)
        assert words in output
        assert "complete" in output
    assert web.log.count("/warmed/weights.bin") == 1
    assert cluster.report(namespace, cached(url)).files == digests(WEIGHTS)
    assert web.log.count("/warmed/weights.bin") == 1


@case("shared cache, `cache warm` of a missing file", "the reason in the command's output")
@pytest.mark.slow
def test_a_failed_warming_is_said(cluster: Cluster, web: Web) -> None:
    namespace = cluster.namespace()
    cluster.claim(namespace, "cache", {})
    options = ("--claim", "pvc://cache/models", "-n", namespace, "--image", images.INITIALIZER, "--apply", "--wait")
    output = storage_webhook(cluster, "warm", f"{web.url}/no-such/weights.bin", *options, status=1)
    assert "failed: " in output


@case("shared cache, `cache-mount: copy` and `direct`", "the file in both; one GET; only the copy is writable")
def test_a_copy_is_the_pods_own(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("tiers", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {})
    seconds = {}
    for name, pod in (("copy", copying(url)), ("direct", cached(url))):
        began = time.monotonic()
        read = cluster.report(namespace, pod)
        seconds[name] = time.monotonic() - began
        assert read.files == digests(WEIGHTS)
        assert read.created == "EROFS"
    writable = copying(url, **{"storage.kserve.io/readonly": "false"})
    assert cluster.report(namespace, writable).created == "ok"
    assert web.log.count("/tiers/weights.bin") == 1
    stored = [path.read_bytes() for path in directory.rglob("weights.bin")]
    assert stored == [WEIGHTS["weights.bin"]]
    print("seconds of a pod:", seconds)


@case("shared cache, `cache-mount: copy`, another digest", "the class `digest` in the pod's status")
def test_a_copy_is_checked(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("checked", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {})
    pod = copying(url, **{str(SHA256): digests(WEIGHTS)["weights.bin"]})
    assert cluster.report(namespace, pod).files == digests(WEIGHTS)
    (model,) = directory.rglob("weights.bin")
    model.write_bytes(WEIGHTS["weights.bin"][::-1])
    assert cluster.failure(namespace, pod).startswith("digest: ")


@case("shared cache, `cache verify` after damage", "the damaged model is moved away, and downloaded again")
def test_a_damaged_model_is_repaired(cluster: Cluster, web: Web) -> None:
    namespace, url = cluster.namespace(), web.put("verified", WEIGHTS)
    directory = cluster.claim(namespace, "cache", {}) / "models"
    pod = cached(url)
    pod["metadata"]["annotations"][str(SHA256)] = digests(WEIGHTS)["weights.bin"]
    cluster.report(namespace, pod)
    (model,) = _models(directory)
    (model / "weights.bin").write_bytes(WEIGHTS["weights.bin"][::-1])
    assert "moved away" in storage_webhook(cluster, "verify", str(directory), "--namespace", namespace, status=1)
    assert cluster.report(namespace, pod).files == digests(WEIGHTS)
    assert web.log.count("/verified/weights.bin") == 2
    assert "intact" in storage_webhook(cluster, "verify", str(directory))


def _models(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)]
