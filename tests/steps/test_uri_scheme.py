"""Schemes of URIs that nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster_objects import storage_container, warnings
from tests.mutation import JsonObject, a_pod, answer, initializer, kserve_pod, mutated, plain_pod, several
from webhook import uri as storage_uri

KUBERNETES_CUTS_AT = 256
DOWNLOADED = sorted(name for name in storage_uri.KNOWN_SCHEMES if name != "pvc" and not name.startswith("oci"))


def _warnings(pod: JsonObject, *objects: JsonObject) -> list[str]:
    return [warning for warning in warnings(pod, *objects) if "a storage container for it" in warning]


MEANT = {
    "PVC://models/iris": "pvc://",
    "Pvc:models/iris": "pvc://",
    "pvc:/models/iris": "pvc://",
    "pvc//models/iris": "pvc://",
    "pvcs://models/iris": "pvc://",
    "claim://models/iris": "pvc://",
    "s3:b": "s3://",
    "s3:/b/m": "s3://",
    "s3//b/m": "s3://",
    "s4://b/m": "s3://",
    "S3://b/m": "s3://",
    "s3a://b/m": "s3://",
    "s3n://b/m": "s3://",
    "gcs://b/m": "gs://",
    "gs:b/m": "gs://",
    "docker://registry.example.com/iris:1": "oci://",
    "OCI://registry.example.com/iris:1": "oci://",
    "HTTPS://example.com/m": "https://",
    "htps://example.com/m": "https://",
    "http:/example.com/m": "http://",
    "huggingface://meta-llama/Llama-3": "hf://",
    "HF://meta-llama/Llama-3": "hf://",
    "hdf://n/m": "hdfs://",
    "webhdf://n/m": "webhdfs://",
    "model-scope://m": "modelscope://",
    "abfs://c@account/m": "https://<account>.blob.core.windows.net/",
    "wasbs://c@account/m": "https://<account>.blob.core.windows.net/",
    "/data/x": "pvc://<claim>/<path> or s3://<bucket>/<path>",
    "bucket/model": "s3://, hf://, pvc:// or another scheme before it",
    "model": "s3://, hf://, pvc:// or another scheme before it",
    "../model": "s3://, hf://, pvc:// or another scheme before it",
}


@pytest.mark.parametrize(("uri", "meant"), MEANT.items())
@pytest.mark.parametrize("pod_of", [plain_pod, kserve_pod])
def test_the_nearest_scheme_is_named(pod_of: Callable[[str], JsonObject], uri: str, meant: str) -> None:
    (warning,) = _warnings(pod_of(uri))
    assert warning.endswith(f": write {meant}")
    assert warning.startswith("annotation ")
    assert initializer(mutated(pod_of(uri)))["args"][0] == uri


OTHERS = "ftp sftp nfs smb ssh swift dbfs models runs registry+v2 mlflow kserve x aws-s3-bucket local oss".split()


@pytest.mark.parametrize("name", OTHERS)
def test_no_suggestion_is_better_than_a_wrong_one(name: str) -> None:
    (warning,) = _warnings(plain_pod(f"{name}://b/m"))
    assert f'scheme "{name}" is unknown, so the download fails' in warning
    assert warning.endswith(": use one of file, gs, hdfs, hf, http, https, modelscope, oci, pvc, s3, webhdfs")


@pytest.mark.parametrize("uri", ["models:/iris/1", "iris:1", "localhost:5000/iris"])
def test_a_colon_does_not_make_a_scheme(uri: str) -> None:
    (warning,) = _warnings(plain_pod(uri))
    assert f'"{uri}" has no scheme' in warning


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_known_scheme_does_not_warn(name: str) -> None:
    assert _warnings(plain_pod(f"{name}://account.blob.core.windows.net/iris")) == []


@pytest.mark.parametrize("uri", ["oci://registry.example.com/iris:1", "pvc://models/iris"])
@pytest.mark.parametrize("annotations", [{}, {"storage.kserve.io/pvc-mount": "copy"}])
def test_a_model_that_is_no_download_by_scheme_does_not_warn(uri: str, annotations: dict[str, str]) -> None:
    off = {"storageInitializer": {"enableModelcar": False}}
    assert "warnings" not in answer(plain_pod(uri, annotations=annotations), off)


@pytest.mark.parametrize("supported", ["registry+v2://", "~^registry", "registry"])
def test_a_scheme_of_a_storage_container_is_known(supported: str) -> None:
    pod = plain_pod("registry+v2://models/flowers")
    assert _warnings(pod, storage_container("mine", supported)) == []
    assert len(_warnings(pod, storage_container("mine", "other://"))) == 1
    assert len(_warnings(pod, storage_container("mine", supported, top={"disabled": True}))) == 1


def test_each_model_that_the_selected_storage_container_does_not_support_warns() -> None:
    pod = several(("mine://a", "/mnt/m/a"), ("s4://b/m", "/mnt/m/b"), ("gs://c", "/mnt/m/c"), ("mine://d", "/mnt/m/d"))
    container = storage_container("mine", "mine://", supportsMultiModelDownload=True)
    (warning,) = _warnings(pod, container)
    assert "annotation storage.kserve.io/uris, entry 2" in warning
    assert len(_warnings(pod)) == 3


def test_the_scheme_of_a_storage_spec_is_resolved_first() -> None:
    annotations = {
        "internal.serving.kserve.io/storage-spec": "true",
        "internal.serving.kserve.io/storage-spec-param": '{"type": "s3", "bucket": "b"}',
    }
    assert _warnings(kserve_pod("<scheme-placeholder>://iris", annotations=annotations)) == []


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=600))
def test_a_warning_names_the_way_out_before_kubernetes_cuts_it(uri: str) -> None:
    pod = a_pod("kserve-container", annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": uri})
    pod["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": "iris"}
    for warning in answer(pod).get("warnings", []):
        if "ClusterStorageContainer" in warning:
            assert (
                "write " in warning[:KUBERNETES_CUTS_AT] or "modelscope, oci, pvc, s3" in warning[:KUBERNETES_CUTS_AT]
            )
