"""A Job that warms the cache downloads what the pods will look for: it gets the same key and the same credentials."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.golden import Case, cases
from tests.mutation import JsonObject, a_container, decide, kserve_pod, plain_pod
from webhook import annotations as keys
from webhook.admission.outcome import Outcome
from webhook.cli.app import app
from webhook.download import warming
from webhook.download.key import PATTERN

IMAGE = "registry.example.com/initializer:1"
CLAIM = "pvc://cache/models"


def key_of(outcome: Outcome) -> str | None:
    """The key of the model that the pod mounts from the cache."""
    spec = (outcome.mutated or {"spec": {}})["spec"]
    paths = [mount.get("subPath", "") for each in spec.get("containers", ()) for mount in each.get("volumeMounts", ())]
    return next((part for path in paths for part in path.split("/") if PATTERN.fullmatch(part)), None)


def _initializer(outcome: Outcome) -> JsonObject:
    assert outcome.mutated is not None, outcome.message
    containers: list[JsonObject] = outcome.mutated["spec"]["initContainers"]
    return next(each for each in containers if each["name"] == "storage-initializer")


def _cached(case: Case) -> JsonObject:
    pod = copy.deepcopy(case.pod)
    pod["metadata"].setdefault("annotations", {})[str(keys.CACHE)] = CLAIM
    return pod


def _shared_cases() -> list[Case]:
    found = []
    for case in cases():
        outcome = case.decide(_cached(case)) if isinstance(case.pod, dict) else None
        if outcome is not None and outcome.kind == "injected" and key_of(outcome):
            found.append(case)
    return found


SHARED = _shared_cases()


def test_most_ways_to_download_can_be_warmed() -> None:
    assert len(SHARED) > 20


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case.name)
def test_the_job_downloads_what_the_pods_look_for(case: Case) -> None:
    pod = _cached(case)
    job = warming.job(pod, case.namespace, IMAGE, None)
    wanted, warmed = case.decide(pod), case.decide(job["spec"]["template"])
    assert key_of(warmed) == key_of(wanted)
    assert _initializer(warmed).get("env") == _initializer(wanted).get("env")
    spec = (warmed.mutated or {})["spec"]
    assert spec.get("serviceAccountName") == (wanted.mutated or {})["spec"].get("serviceAccountName")


def test_nothing_of_the_server_runs() -> None:
    server = a_container(
        "server",
        image="server:1",
        command=["serve"],
        args=["--port=80"],
        ports=[{"containerPort": 80}],
        readinessProbe={"httpGet": {"port": 80}},
        resources={"limits": {"nvidia.com/gpu": "8"}},
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )
    proxy = a_container("proxy", restartPolicy="Always")
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    pod = plain_pod("s3://b/m", containers=[server], initContainers=[proxy], volumes=volumes)
    pod["metadata"]["labels"] = {"app": "iris"}
    template = warming.job(pod, "models", IMAGE, CLAIM)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container.keys() <= {"name", "image", "command", "resources", "env", "securityContext"}
    assert "nvidia.com/gpu" not in str(template)
    assert template["spec"].keys() == {"containers", "restartPolicy"}
    assert "app" not in template["metadata"]["labels"], "a Service would send requests to it"


def test_the_same_pod_has_the_same_job_and_another_has_another() -> None:
    pod = plain_pod("s3://models/Iris v1/", serviceAccountName="a")
    first = warming.job(pod, "models", IMAGE, CLAIM)
    assert warming.job(copy.deepcopy(pod), "models", IMAGE, CLAIM) == first
    assert re.fullmatch(r"warm-iris-v1-[0-9a-f]{10}", first["metadata"]["name"])
    others = [
        warming.job(plain_pod("s3://models/Iris v1/", serviceAccountName="b"), "models", IMAGE, CLAIM),
        warming.job(pod, "other", IMAGE, CLAIM),
        warming.job(pod, "models", IMAGE, "pvc://cache/other"),
    ]
    assert len({job["metadata"]["name"] for job in [first, *others]}) == 4


@pytest.mark.parametrize("uri", ["s3://b/" + "x" * 4_000, "s3://b/é", "s3://b", "https://h/m?sig=s3cret#f"])
def test_the_name_of_a_job_is_one(uri: str) -> None:
    name = warming.job(plain_pod(uri), "models", IMAGE, CLAIM)["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert "s3cret" not in name


# --- The command


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["cache", "warm", *arguments], input=stdin)


def printed(*arguments: str, stdin: str | None = None) -> list[JsonObject]:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def test_a_job_is_printed_for_each_uri() -> None:
    jobs = printed("s3://b/one", "hf://o/two", "--claim", CLAIM, "-n", "models", "--service-account", "loader")
    assert [job["metadata"]["namespace"] for job in jobs] == ["models", "models"]
    for job, uri in zip(jobs, ["s3://b/one", "hf://o/two"], strict=True):
        template = job["spec"]["template"]
        assert template["metadata"]["annotations"] == {keys.URI: uri, keys.CACHE: CLAIM}
        assert template["spec"]["serviceAccountName"] == "loader"
        assert key_of(decide(template))


def test_a_manifest_says_everything() -> None:
    pod = plain_pod("s3://b/m", annotations={keys.CACHE: CLAIM}, serviceAccountName="loader")
    deployment = {"kind": "Deployment", "metadata": {"name": "iris", "namespace": "team"}, "spec": {"template": pod}}
    (job,) = printed("-f", "-", stdin=json.dumps(deployment))
    assert job["metadata"]["namespace"] == "team"
    assert key_of(decide(job["spec"]["template"])) == key_of(decide(pod))


def test_pods_of_kserve_can_be_warmed() -> None:
    pod = kserve_pod("s3://b/m", annotations={keys.CACHE: CLAIM})
    (job,) = printed("-f", "-", stdin=json.dumps({"kind": "Pod", **pod}))
    assert key_of(decide(job["spec"]["template"])) == key_of(decide(pod))


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ([], None, "no model"),
        (["s3://b/m", "--claim", "cache"], None, "must be the URI of a claim"),
        (["s3://b/m", "--claim", "pvc://cache/../x"], None, "'..'"),
        (["pvc://a/b"], None, "in a claim already"),
        (["s3://b/m", "--wait"], None, "--wait needs --apply"),
        (["s3://b/m", "--apply"], None, "has no namespace"),
        (["-f", "-"], "kind: ConfigMap\nmetadata: {name: a}\n", "no pod template"),
        (["-f", "-"], json.dumps({"kind": "Pod", **plain_pod("")}), "no model into a shared cache"),
    ],
)
def test_what_cannot_be_warmed_is_rejected_in_words(arguments: list[str], stdin: str | None, words: str) -> None:
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
