"""The examples: each delivers its model in the way that it describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from webhook.offline import manifests
from webhook.offline.facts_file import FactsFile
from webhook.offline.mutator import Mutator
from webhook.settings.model import EMBEDDED

DIRECTORY = Path(__file__).parents[2] / "examples"


class Delivery(NamedTuple):
    """How the model arrives: the init container's image and arguments, and the mount paths of the server."""

    initializer: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ("/mnt/models",)
    variables: tuple[str, ...] = ()
    """Environment variables of the init container whose values are in a Secret."""
    volumes: tuple[str, ...] = ()
    """Claims, Secrets and images that the pod mounts."""


IMAGE = EMBEDDED.storage_initializer.image
DOWNLOAD = (IMAGE, "/mnt/models")
AZURE = ("AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
MODEL_IMAGE = "registry.example.com/models/llama:3.1"
DELIVERIES = {
    "adapters": Delivery((IMAGE, "s3://adapters/support"), ("/mnt/base", "/mnt/adapters"), volumes=("models",)),
    "azure": Delivery(("https://account.blob.core.windows.net/models/bert", *DOWNLOAD), variables=AZURE),
    "claim": Delivery(mounts=("/mnt/models/model.joblib",), volumes=("models",)),
    "claim-copy": Delivery(("/mnt/pvc/iris", *DOWNLOAD), ("/mnt/models", "/mnt/pvc"), volumes=("models",)),
    "deployment": Delivery(("s3://models/iris", *DOWNLOAD)),
    "engine": Delivery(("s3://models/llama", *DOWNLOAD), ("/mnt/engine", "/mnt/models")),
    "environment": Delivery(("hf://meta-llama/Llama-3.1-8B-Instruct", *DOWNLOAD), variables=("HF_TOKEN",)),
    "gcs": Delivery(("gs://models/flowers", *DOWNLOAD), volumes=("gcs",)),
    "hdfs": Delivery(("hdfs://models/ranking", *DOWNLOAD), volumes=("hdfs",)),
    "https": Delivery(
        ("https://downloads.example.com/classifier.tar.gz", *DOWNLOAD), variables=("downloads.example.com-headers",)
    ),
    "hugging-face": Delivery(("hf://meta-llama/Llama-3.1-8B-Instruct", *DOWNLOAD), variables=("HF_TOKEN",)),
    "image-download": Delivery((f"oci://{MODEL_IMAGE}", *DOWNLOAD), volumes=("registry",)),
    "image-modelcar": Delivery(mounts=("/mnt",)),
    "image-volume": Delivery(volumes=(MODEL_IMAGE,)),
    "kserve": Delivery(("s3://models/iris", *DOWNLOAD)),
    "resources": Delivery(("s3://models/iris", IMAGE, "/models"), ("/models",)),
    "rollout": Delivery(("s3://models/llama-3.1-70b", *DOWNLOAD)),
    "s3": Delivery(("s3://models/iris", *DOWNLOAD), variables=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    "s3-role": Delivery(("s3://models/iris", *DOWNLOAD)),
    "shared-cache": Delivery((IMAGE, "hf://meta-llama/Llama-3.1-8B-Instruct"), volumes=("models",)),
    "storage-container": Delivery(
        ("model-registry://iris/v4", "registry.example.com/model-registry-client:2.1", "/mnt/models")
    ),
    "training-job": Delivery(("s3://checkpoints/run-17", IMAGE, "/checkpoint"), ("/checkpoint",)),
    "warning": Delivery(("s3://models/iris", *DOWNLOAD)),
}
DENIED = {"denied": "the path must not contain '..'"}
WARNED = {"warning": "did you mean storage.kserve.io/readonly?"}


def mutated(name: str) -> tuple[Mutator, Any]:
    """The mutator after an example, and the pod spec of its workload. All its objects are facts."""
    documents = manifests.load((DIRECTORY / f"{name}.yaml").read_text())
    mutator = Mutator(EMBEDDED, "default", FactsFile(documents))
    changed = [mutator.mutate_pods(document) for document in documents]
    (decision,) = mutator.decisions
    (workload,) = [each for each in changed if manifests.name_of(each) == decision.owner.name]
    return mutator, workload["spec"]["template"]["spec"] if "template" in workload["spec"] else workload["spec"]


def test_every_example_is_tested() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.yaml")} == {*DELIVERIES, *DENIED}


@pytest.mark.parametrize("name", DELIVERIES)
def test_an_example_delivers_its_model(name: str) -> None:
    mutator, spec = mutated(name)
    expected = DELIVERIES[name]
    assert mutator.denials == []
    assert [each["mountPath"] for each in spec["containers"][0]["volumeMounts"]] == list(expected.mounts)
    initializers = [each for each in spec.get("initContainers", []) if each["name"] == "storage-initializer"]
    found = {text for each in initializers for text in (each["image"], *each["args"])}
    assert set(expected.initializer) <= found
    assert bool(initializers) == bool(expected.initializer)
    variables = [each for initializer in initializers for each in initializer["env"] if "valueFrom" in each]
    assert [each["name"] for each in variables] == list(expected.variables)
    assert set(expected.volumes) == {name for volume in spec["volumes"] for name in _source(volume)}


def _source(volume: dict[str, Any]) -> list[str]:
    names = {"persistentVolumeClaim": "claimName", "secret": "secretName", "image": "reference"}
    return [volume[kind][field] for kind, field in names.items() if kind in volume]


@pytest.mark.parametrize("name", [*DELIVERIES, *DENIED])
def test_no_example_copies_a_secret_into_a_pod(name: str) -> None:
    _, spec = mutated(name)
    assert "replace-me" not in manifests.dump([spec])


@pytest.mark.parametrize("name", DELIVERIES)
def test_only_the_example_of_a_warning_warns(name: str) -> None:
    mutator, _ = mutated(name)
    assert (WARNED.get(name, "no warning") in "".join(mutator.warnings)) == bool(mutator.warnings)
    assert bool(mutator.warnings) == (name in WARNED)


@pytest.mark.parametrize("name", DENIED)
def test_the_example_of_a_mistake_is_denied(name: str) -> None:
    mutator, _ = mutated(name)
    (message,) = mutator.denials
    assert DENIED[name] in message


def test_the_rollout_example_stops_old_pods_first() -> None:
    documents = manifests.load((DIRECTORY / "rollout.yaml").read_text())
    (deployment,) = [Mutator(EMBEDDED, "default", None).mutate_deployments(document) for document in documents]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["progressDeadlineSeconds"] == 3600


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_begins_with_a_title_and_a_description(path: Path) -> None:
    title, description, *_ = path.read_text().splitlines()
    assert title.startswith("# ")
    assert not title.endswith(".")
    assert description.startswith("# ")
