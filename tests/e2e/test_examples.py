"""The examples and what the webhook makes of them, in the eyes of the API server."""

from __future__ import annotations

import subprocess

import pytest

from tests import yamls
from tests.controlplane import binaries
from tests.controlplane.plane import ControlPlane
from webhook.offline import manifests
from webhook.offline.facts_file import FactsFile
from webhook.offline.mutator import Mutator
from webhook.playground.examples import DIRECTORY
from webhook.settings.model import EMBEDDED

FILES = sorted([*DIRECTORY.glob("*.yaml"), *DIRECTORY.glob("settings/*.yaml")])


@pytest.mark.parametrize("mutated", [False, True], ids=["as written", "mutated"])
def test_the_api_server_accepts_every_example(control_plane: ControlPlane, mutated: bool) -> None:
    documents = [each for path in FILES for each in _documents(path.read_text(), mutated)]
    options = ["--namespace", "default", "--dry-run=server", "--validate=strict", "--filename", "-"]
    finished = subprocess.run(
        [binaries.kubectl(), "--kubeconfig", control_plane.kubeconfig, "apply", *options],
        input=manifests.dump(documents),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("(server dry run)") == len(documents)


def _documents(text: str, mutated: bool) -> list[object]:
    """The documents of an example, without kinds of KServe, which this API server does not have."""
    documents = yamls.documents(text)
    mutator = Mutator(EMBEDDED, "default", FactsFile(documents))
    changed = [mutator.mutate_pods(each) if mutated else each for each in documents]
    return [each for each in changed if not each["apiVersion"].startswith("serving.kserve.io/")]
