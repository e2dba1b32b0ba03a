"""Runs `storage-webhook mutate` and kubectl, and normalizes pods for comparison."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests import yamls
from tests.controlplane import binaries
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import Object

FACTS = "serviceaccounts,secrets"
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")


def kubectl(plane: ControlPlane, *arguments: str | Path, stdin: str = "") -> str:
    """The output of the real kubectl. Fails with its error message."""
    run = run_kubectl(plane, *arguments, stdin=stdin)
    assert run.returncode == 0, run.stderr
    return run.stdout


def run_kubectl(plane: ControlPlane, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [binaries.kubectl(), f"--kubeconfig={plane.kubeconfig}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def mutated_offline(
    pods: Sequence[Object], settings: Object, facts: str, namespace: str, directory: Path
) -> list[Object]:
    """The pods, mutated by the command line. `settings` is a ConfigMap, `facts` are manifests."""
    files = {"settings.yaml": yaml.safe_dump(settings), "facts.yaml": facts, "pods.yaml": yaml.safe_dump_all(pods)}
    for name, text in files.items():
        (directory / name).write_text(text)
    options = ["--settings=file:settings.yaml", "--facts=facts.yaml", f"--namespace={namespace}", "--output=yaml"]
    command = [sys.executable, "-m", "webhook", "mutate", "--file=pods.yaml", *options]
    run = subprocess.run(command, cwd=directory, env=_environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return yamls.documents(run.stdout)


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[2])}


def essence(pod: Object) -> Any:
    """A pod without its name and the fields that are generated on creation.

    Volumes and mounts are sorted, because the API server adds its own before it calls a webhook, but after the command
    line has mutated the pod.
    """
    metadata = {key: pod["metadata"].get(key) or {} for key in ("labels", "annotations", "ownerReferences")}
    spec = json.loads(_TOKEN_VOLUME.sub("kube-api-access", json.dumps(pod["spec"])))
    spec["volumes"] = _by("name", spec.get("volumes"))
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        container["volumeMounts"] = _by("mountPath", container.get("volumeMounts"))
    return {"metadata": metadata, "spec": spec}


def _by(key: str, items: list[Object] | None) -> list[Object]:
    return sorted(items or [], key=lambda item: item[key])
