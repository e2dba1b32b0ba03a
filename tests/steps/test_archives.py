"""Archives in mounted claims."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutation import answer, kserve_pod, mount_list, mutated, plain_pod, several
from webhook import annotations as keys

UNPACKED = [".tar.gz", ".tgz", ".zip", ".tar", ".TAR", ".Zip", ".tar.bz2", ".tar.xz", ".tbz2", ".txz"]
NOT_UNPACKED = [".gz", ".7z", ".tar.zst", ".onnx.xz", ".json.gz"]


@pytest.mark.parametrize("extension", UNPACKED + NOT_UNPACKED)
@pytest.mark.parametrize("settings", [{}, {"storageDefaults": {"singleFile": []}}])
@pytest.mark.parametrize("pod_of", [plain_pod, kserve_pod])
def test_an_archive_in_a_mounted_claim_warns(pod_of: Any, settings: Any, extension: str) -> None:
    pod = pod_of(f"pvc://models/iris/model{extension}")
    (warning,) = answer(pod, settings)["warnings"]
    assert f'"model{extension}" is an archive' in warning
    assert f"annotation {keys.PATH_TYPE} to file" in warning
    # The initializer unpacks what Python's `mimetypes` takes for tar or zip.
    assert (f"annotation {keys.PVC_MOUNT} to copy" in warning) == (extension in UNPACKED)
    assert (
        mount_list(mutated(pod, settings), pod["spec"]["containers"][0]["name"])[0]["subPath"]
        == f"iris/model{extension}"
    )


def test_the_way_out_is_named_before_kubernetes_cuts_the_warning() -> None:
    (warning,) = answer(plain_pod(f"pvc://models/{'m' * 240}.tar.gz"))["warnings"]
    assert f"annotation {keys.PVC_MOUNT} to copy" in warning[:256]


@pytest.mark.parametrize("form", ["copy", "copy by setting", "file", "directory", "slash", "download"])
def test_an_archive_that_is_unpacked_or_meant_does_not_warn(form: str) -> None:
    path_type = {keys.PATH_TYPE + "": form} if form in ("file", "directory") else {}
    annotations = {keys.PVC_MOUNT + "": "copy"} if form == "copy" else path_type
    uri = {"slash": "pvc://models/model.zip/", "download": "s3://models/model.zip"}.get(form, "pvc://models/model.zip")
    settings = {"storageInitializer": {"enableDirectPvcVolumeMount": form != "copy by setting"}}
    assert "warnings" not in answer(plain_pod(uri, annotations=annotations), settings)


def test_each_archive_of_several_models_warns_without_a_way_that_is_denied() -> None:
    pod = several(("pvc://a/m.zip", "/mnt/a"), ("pvc://b/m.onnx", "/mnt/b"), ("pvc://c/x/n.tgz", "/mnt/c"))
    first, second = answer(pod)["warnings"]
    assert ("m.zip" in first, "n.tgz" in second) == (True, True)
    assert keys.PVC_MOUNT not in first + second
    assert "unpack it in the claim" in first
