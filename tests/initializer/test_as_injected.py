"""KServe's downloader, run with the injected container, downloads the model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_objects import S3, initializer, secret, service_account
from tests.initializer import kubelet
from tests.initializer.servers import aws_server, http_server, s3_server, s3_upload
from tests.mutation import JsonObject, answer, kserve_pod, plain_pod, several
from webhook.annotations import PVC_MOUNT

pytestmark = pytest.mark.slow

MODEL = {"model.joblib": os.urandom(100_000), "config/config.json": b"{}"}
STS_ENDPOINT = "AWS_ENDPOINT_URL_STS"
ROLE_ARN = "arn:aws:iam::123456789012:role/models"
COPY = {PVC_MOUNT + "": "copy"}


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


def test_snapshot_of_a_hugging_face_cache_is_copied(model: Path, claim: Path) -> None:
    cache = claim / "hub" / "models--org--name"
    (snapshot := cache / "snapshots" / "0123").mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "abc").write_bytes(MODEL["model.joblib"])
    (snapshot / "model.joblib").symlink_to("../../blobs/abc")
    path = snapshot.relative_to(claim)
    container = initializer(plain_pod(f"pvc://claim/{path}", annotations=COPY))
    assert downloaded(model, container, **{claim.name: claim}) == {"model.joblib": MODEL["model.joblib"]}


ARCHIVES = {
    **dict.fromkeys((".tar", ".TAR"), "tar"),
    **dict.fromkeys((".tar.gz", ".tgz"), "gztar"),
    **dict.fromkeys((".tar.bz2", ".tbz2"), "bztar"),
    **dict.fromkeys((".tar.xz", ".txz"), "xztar"),
    ".zip": "zip",
}


@pytest.mark.parametrize(("extension", "form"), ARCHIVES.items())
def test_archive_of_a_claim_is_unpacked(model: Path, claim: Path, tmp_path: Path, extension: str, form: str) -> None:
    Path(shutil.make_archive(str(tmp_path / "made"), form, claim / "iris")).rename(claim / f"model{extension}")
    pod = plain_pod(f"pvc://claim/model{extension}")
    assert f"annotation {PVC_MOUNT} to copy" in answer(pod)["warnings"][0]
    container = initializer(plain_pod(f"pvc://claim/model{extension}", annotations=COPY))
    assert downloaded(model, container, **{claim.name: claim}) == MODEL


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


def with_variables(container: JsonObject, **variables: str) -> JsonObject:
    """The container with these variables, as other webhooks or the test set them; "" removes one."""
    kept = [variable for variable in container["env"] if variable["name"] not in variables]
    added = [{"name": name, "value": value} for name, value in variables.items() if value]
    return {**container, "env": kept + added}


@pytest.fixture
def role(tmp_path: Path) -> dict[str, str]:
    """The variables that EKS adds to containers whose service account has a role."""
    (tmp_path / "token").write_text("a-token-of-the-service-account")
    return {"AWS_ROLE_ARN": ROLE_ARN, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "HOME": str(tmp_path)}


def test_s3_endpoint_with_an_aws_role(model: Path, s3: str, role: dict[str, str]) -> None:
    """The request for the role's credentials goes to STS: the S3 server does not answer it."""
    account = service_account(
        annotations={
            "eks.amazonaws.com/role-arn": ROLE_ARN,
            S3 + "endpoint": f"http://{s3}",
            S3 + "region": "us-east-2",
        }
    )
    injected = with_variables(initializer(plain_pod("s3://models/iris"), account), **role)
    assert {"name": STS_ENDPOINT, "value": "https://sts.us-east-2.amazonaws.com"} in injected["env"]
    with aws_server("sts") as sts:
        assert downloaded(model, with_variables(injected, **{STS_ENDPOINT: sts})) == MODEL
    without = kubelet.run(with_variables(injected, **{STS_ENDPOINT: ""}), {model.name: model})
    assert without.returncode != 0
    assert "AssumeRoleWithWebIdentity" in without.stderr


def test_s3_with_eks_pod_identity(model: Path, s3: str, tmp_path: Path) -> None:
    """The service account has the endpoint and no role. An agent on the node provides the credentials."""
    (tmp_path / "agent").mkdir()
    held = {"AccessKeyId": "minio", "SecretAccessKey": "minio123", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}
    (tmp_path / "agent" / "credentials").write_text(json.dumps(held))
    account = service_account(annotations={S3 + "endpoint": f"http://{s3}", S3 + "region": "us-east-1"})
    injected = initializer(plain_pod("s3://models/iris"), account)
    with http_server(tmp_path / "agent", authorization="pod-token") as agent:
        identity = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod-token",
            "HOME": str(tmp_path),
        }
        assert downloaded(model, with_variables(injected, **identity)) == MODEL


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
