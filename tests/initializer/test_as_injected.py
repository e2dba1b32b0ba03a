"""KServe's downloader, run with the injected container, downloads the model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_objects import S3, initializer, secret, service_account
from tests.initializer import kubelet
from tests.initializer.servers import http_server, s3_server, s3_upload
from tests.mutation import JsonObject, kserve_pod, plain_pod, several

pytestmark = pytest.mark.slow

MODEL = {"model.joblib": os.urandom(100_000), "config/config.json": b"{}"}
COPY = {"storage.kserve.io/pvc-mount": "copy"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The volume for the model."""
    folder = tmp_path / "kserve-provision-location"
    folder.mkdir()
    return folder


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A claim with a model in `iris`."""
    root = tmp_path / "kserve-pvc-source"
    for name, content in MODEL.items():
        (root / "iris" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "iris" / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Host and port of an S3 server with a model."""
    with s3_server() as endpoint:
        s3_upload(endpoint, "models", {f"iris/{name}": content for name, content in MODEL.items()})
        yield endpoint.removeprefix("http://")


def downloaded(model: Path, container: JsonObject, *secrets: JsonObject, **volumes: Path) -> dict[str, bytes]:
    """The files in the model's volume after the download, by path."""
    done = kubelet.run(container, {model.name: model, **volumes}, secrets)
    assert done.returncode == 0, done.stderr
    # Follow links into a claim.
    files = (Path(folder) / name for folder, _, names in os.walk(model, followlinks=True) for name in names)
    return {str(file.relative_to(model)): file.read_bytes() for file in files}


def test_directory_of_a_claim_is_copied(model: Path, claim: Path) -> None:
    container = initializer(plain_pod("pvc://claim/iris", annotations=COPY))
    assert downloaded(model, container, **{claim.name: claim}) == MODEL


def test_file_of_a_claim_is_copied(model: Path, claim: Path) -> None:
    container = initializer(plain_pod("pvc://claim/iris/model.joblib", annotations=COPY))
    assert downloaded(model, container, **{claim.name: claim}) == {"model.joblib": MODEL["model.joblib"]}


def test_http_with_headers_from_a_secret(model: Path, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "model.joblib").write_bytes(MODEL["model.joblib"])
    headers = secret("web", {"https-host": "127.0.0.1", "headers": json.dumps({"Authorization": "Bearer hush"})})
    with http_server(tmp_path / "served", authorization="Bearer hush") as url:
        pod = plain_pod(f"{url}/model.joblib")
        without = kubelet.run(initializer(pod), {model.name: model})
        assert "authentication failed" in without.stderr
        container = initializer(pod, service_account("web"), headers)
        assert downloaded(model, container, headers) == {"model.joblib": MODEL["model.joblib"]}


def test_s3_with_a_secret(model: Path, s3: str) -> None:
    keys = {"awsAccessKeyID": "minio", "awsSecretAccessKey": "minio123"}
    held = secret("s3", keys, {S3 + "endpoint": s3, S3 + "usehttps": "0", S3 + "region": "us-east-1"})
    container = initializer(plain_pod("s3://models/iris"), service_account("s3"), held)
    assert downloaded(model, container, held) == MODEL


def test_s3_with_a_storage_spec(model: Path, s3: str) -> None:
    entry = {
        "type": "s3",
        "bucket": "elsewhere",
        "access_key_id": "minio",
        "secret_access_key": "minio123",
        "endpoint_url": f"http://{s3}",
        "region": "us-east-1",
    }
    held = secret("storage-config", {"minio": json.dumps(entry)})
    pod = kserve_pod(
        "<scheme-placeholder>://iris",
        annotations={
            "internal.serving.kserve.io/storage-spec": "true",
            "internal.serving.kserve.io/storage-spec-key": "minio",
            "internal.serving.kserve.io/storage-spec-param": json.dumps({"bucket": "models"}),
        },
    )
    assert downloaded(model, initializer(pod, held), held) == MODEL


def test_several_models(model: Path, s3: str) -> None:
    keys = {"awsAccessKeyID": "minio", "awsSecretAccessKey": "minio123"}
    held = secret("s3", keys, {S3 + "endpoint": f"http://{s3}", S3 + "region": "us-east-1"})
    pod = several(("s3://models/iris", "/mnt/models/one"), ("s3://models/iris", "/mnt/models/two"))
    container = initializer(pod, service_account("s3"), held)
    (mount,) = container["volumeMounts"]
    found = downloaded(model, container, held, **{mount["name"]: model})
    assert found == {f"{name}/{file}": content for name in ("one", "two") for file, content in MODEL.items()}
