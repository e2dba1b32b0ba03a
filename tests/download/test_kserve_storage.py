"""Downloads with KServe's storage library, from local servers into one claim."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.download.pods import Claim, Pod, contents, until
from tests.initializer.environment import ENTRYPOINT, initializer_python
from tests.initializer.servers import http_server, s3_environment, s3_server, s3_upload

pytestmark = pytest.mark.slow
WEIGHTS = os.urandom(6 * 2**20)
MODEL = {"model.joblib": WEIGHTS, "config/config.json": b"{}"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "model.joblib").write_bytes(WEIGHTS)
    with http_server(folder) as url:
        yield f"{url}/model.joblib"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as endpoint:
        s3_upload(endpoint, "models", {f"iris/{name}": content for name, content in MODEL.items()})
        yield endpoint


def as_initializer(claim: Claim, uri: str, env: Mapping[str, str] | None = None) -> Claim:
    """The claim in pods whose image contains kserve-storage."""
    return replace(claim, uri=uri, python=initializer_python(), env=env or {})


def start(claim: Claim, name: str) -> Pod:
    return claim.start([str(claim.python), str(ENTRYPOINT), claim.uri], name)


def finished(pod: Pod) -> Pod:
    pod.finish()
    return pod


def test_five_pods_share_one_download_over_http(claim: Claim, http: str):
    claim = as_initializer(claim, http)
    pods = [start(claim, f"pod-{number}") for number in range(5)]
    assert [pod.finish() for pod in pods] == [0] * 5, [pod.output for pod in pods]
    assert contents(claim.model) == {"model.joblib": WEIGHTS}
    assert sum("Successfully copied" in pod.output for pod in pods) == 1


def test_a_parallel_s3_download_is_used_by_the_next_pod(claim: Claim, s3: str):
    claim = as_initializer(claim, "s3://models/iris", s3_environment(s3))
    assert finished(start(claim, "pod-a")).process.returncode == 0
    assert contents(claim.model) == MODEL
    assert json.loads(claim.cache.record.read_text())["bytes"] == len(WEIGHTS) + 2
    follower = finished(start(claim, "pod-b"))
    assert follower.process.returncode == 0
    assert "downloaded by pod pod-a" in follower.output
    assert "Successfully copied" not in follower.output


def test_the_next_pod_downloads_after_a_pod_is_killed(claim: Claim, s3: str):
    claim = as_initializer(claim, "s3://models/iris", s3_environment(s3))
    pod = start(claim, "pod-a")
    until(lambda: claim.find("model"), "the download")
    pod.process.kill()
    follower = finished(start(claim, "pod-b"))
    pod.finish()
    assert follower.process.returncode == 0, follower.output
    assert contents(claim.model) == MODEL
    assert claim.names() == {claim.model.name, claim.cache.record.name}


def test_a_missing_model_is_reported_with_the_downloaders_message(claim: Claim, s3: str):
    claim = as_initializer(claim, "s3://models/rose", s3_environment(s3))
    pod = finished(start(claim, "pod-a"))
    assert pod.process.returncode == 1
    assert pod.message.startswith("not-found: ")
    assert "No model found in rose" in pod.message
    assert claim.names() == set()


@pytest.mark.parametrize("source", ["http", "s3"])
def test_a_model_that_does_not_fit_is_reported(small_claim: Claim, http: str, s3: str, source: str):
    uri = http if source == "http" else "s3://models/iris"
    claim = as_initializer(small_claim, uri, s3_environment(s3))
    pod = finished(start(claim, "pod-a"))
    assert pod.process.returncode == 1
    assert pod.message.startswith("disk: ")
    assert claim.names() == set()


def test_several_models_of_one_pod_share_one_key(claim: Claim, http: str, s3: str):
    claim = as_initializer(claim, "s3://models/iris", s3_environment(s3))
    args = [claim.uri, "/mnt/models/a", http, "/mnt/models/b"]
    pod = finished(claim.start([str(claim.python), str(ENTRYPOINT)], "pod-a", args))
    assert pod.process.returncode == 0, pod.output
    assert contents(claim.model / "a") == MODEL
    assert contents(claim.model / "b") == {"model.joblib": WEIGHTS}
