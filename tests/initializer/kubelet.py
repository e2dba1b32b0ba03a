"""Stands in for the kubelet: gives the downloader its environment, mounts and arguments."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.initializer.environment import ENTRYPOINT, initializer_python
from tests.mutation import JsonObject


def run(
    container: JsonObject, volumes: Mapping[str, Path], secrets: Iterable[JsonObject] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the downloader with the arguments and the environment of the container.

    `volumes` maps the pod's volumes to directories. Paths below a mount are translated to them.
    """
    arguments = [_host_path(argument, container, volumes) for argument in container["args"]]
    return subprocess.run(
        [initializer_python(), ENTRYPOINT, *arguments],
        env=dict(_environment(container, list(secrets))),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _host_path(argument: str, container: JsonObject, volumes: Mapping[str, Path]) -> str:
    for mount in container["volumeMounts"]:
        path = mount["mountPath"].rstrip("/")
        if argument == path or argument.startswith(path + "/"):
            return str(volumes[mount["name"]] / mount.get("subPath", "")).rstrip("/") + argument.removeprefix(path)
    return argument


def _environment(container: JsonObject, secrets: list[JsonObject]) -> Iterable[tuple[str, str]]:
    for variable in container["env"]:
        if "value" in variable:
            yield variable["name"], variable["value"]
            continue
        reference = variable["valueFrom"]["secretKeyRef"]
        (secret,) = [each for each in secrets if each["metadata"]["name"] == reference["name"]]
        yield variable["name"], base64.b64decode(secret["data"][reference["key"]]).decode()
