"""A pod with its own copy of a model in the shared cache: one download, and a copy for each pod."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.download.pods import Claim, contents, shell

DOWNLOAD = shell('mkdir "$1/part"; printf weights > "$1/part/weights.bin"; ln -s part/weights.bin "$1/link"')
WEIGHTS = b"weights"


def _digest() -> str:
    """Of the manifest: the two paths of the one file."""
    content = hashlib.sha256(WEIGHTS).hexdigest()
    lines = "".join(f"{name}\0{len(WEIGHTS)}\0{content}\n" for name in ("link", "part/weights.bin"))
    return hashlib.sha256(lines.encode()).hexdigest()


@pytest.fixture
def copying(claim: Claim, tmp_path: Path) -> Iterator[Claim]:
    """A claim, and a pod with a volume of its own."""
    volume = tmp_path / "volume"
    volume.mkdir()
    yield replace(claim, copy=volume)


def _copy(claim: Claim) -> Path:
    assert claim.copy is not None
    return claim.copy


@pytest.mark.parametrize("digest", [False, True])
def test_the_model_is_in_the_cache_and_in_the_pods_volume(copying: Claim, digest: bool) -> None:
    claim = replace(copying, sha256=_digest() if digest else "")
    pod = claim.run(DOWNLOAD)
    assert pod.process.returncode == 0, pod.output
    for folder in (claim.model, _copy(claim)):
        assert (folder / "part" / "weights.bin").read_bytes() == WEIGHTS
        assert (folder / "link").readlink() == Path("part/weights.bin")
    result = json.loads(pod.message)
    assert (result["files"], result["source"]) == (2, claim.uri)


def test_the_second_pod_copies_what_the_first_one_downloaded(copying: Claim, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    assert copying.run(DOWNLOAD).process.returncode == 0
    pod = replace(copying, copy=second).run(shell("exit 9"), "pod-b")
    assert pod.process.returncode == 0, pod.output
    assert contents(second) == contents(_copy(copying))


def test_a_second_try_replaces_a_part_of_a_copy(copying: Claim) -> None:
    (_copy(copying) / "part").mkdir()
    (_copy(copying) / "part" / "weights.bin").write_bytes(b"wei")
    assert copying.run(DOWNLOAD).process.returncode == 0
    assert (_copy(copying) / "part" / "weights.bin").read_bytes() == WEIGHTS


def test_nothing_is_deleted_when_a_volume_is_mounted_in_that_of_the_copy(claim: Claim, inner_file: Path) -> None:
    pod = replace(claim, copy=inner_file.parent.parent).run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "cannot be emptied: a volume is mounted in it" in pod.message
    assert inner_file.read_text() == "mine"


def test_a_copy_with_another_digest_is_not_served(copying: Claim) -> None:
    """Somebody changes the model in the cache, to the same size."""
    claim = replace(copying, sha256=_digest())
    assert claim.run(DOWNLOAD).process.returncode == 0
    (claim.model / "part" / "weights.bin").write_bytes(b"weightz")
    pod = claim.run(shell("exit 9"), "pod-b")
    assert pod.process.returncode == 1
    assert pod.message.startswith("digest: ")


def test_a_volume_without_room_is_named(small_claim: Claim, tmp_path: Path) -> None:
    """The volume is the small one; the cache has room."""
    root = tmp_path / "cache"
    root.mkdir()
    claim = Claim(root, copy=small_claim.root)
    pod = claim.run(shell('head -c 8000000 /dev/zero > "$1/weights.bin"'))
    assert pod.process.returncode == 1
    assert pod.message.startswith("disk: ")
    assert claim.model.exists()
