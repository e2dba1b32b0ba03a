"""Claims that hold the cache of the Hugging Face Hub library."""

from __future__ import annotations

import pytest

from tests.mutation import JsonObject, answer, plain_pod, several
from webhook import annotations as keys

SNAPSHOT = "hub/models--org--name/snapshots/0123abc"


def _warnings(pod: JsonObject) -> list[str]:
    found: list[str] = answer(pod).get("warnings", [])
    return found


@pytest.mark.parametrize(
    "path", [SNAPSHOT, f"{SNAPSHOT}/", f"{SNAPSHOT}/onnx", SNAPSHOT.removeprefix("hub/"), SNAPSHOT.rpartition("/")[0]]
)
def test_a_mounted_snapshot_is_warned_about(path: str) -> None:
    (warning,) = _warnings(plain_pod(f"pvc://claim/{path}"))
    assert f"annotation {keys.PVC_MOUNT} to copy" in warning
    assert "../../blobs" in warning
    assert len(warning) <= 256


def test_the_remedy_for_several_models_is_another_one() -> None:
    (warning,) = _warnings(several((f"pvc://claim/{SNAPSHOT}", "/mnt/a"), ("pvc://claim/plain", "/mnt/b")))
    assert str(keys.PVC_MOUNT) not in warning
    assert "mount the whole claim" in warning


@pytest.mark.parametrize("path", ["hub", "hub/models--org--name", "snapshots/1", f"{SNAPSHOT}/model.safetensors"])
def test_other_paths_are_not_warned_about(path: str) -> None:
    assert not _warnings(plain_pod(f"pvc://claim/{path}"))


def test_a_copied_snapshot_is_not_warned_about() -> None:
    assert not _warnings(plain_pod(f"pvc://claim/{SNAPSHOT}", annotations={keys.PVC_MOUNT: "copy"}))
