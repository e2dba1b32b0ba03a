"""What the kubelet does for the init container, as far as the downloader can tell: environment, mounts, arguments."""

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
    """Run the downloader with the container's very arguments and environment.

    `volumes` are the directories that stand for the pod's volumes; paths below a mount lead into them.
    """
    words = [_outside(word, container, volumes) for word in container["args"]]
    return subprocess.run(
        [initializer_python(), ENTRYPOINT, *words],
        env=dict(_environment(container, list(secrets))),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _outside(word: str, container: JsonObject, volumes: Mapping[str, Path]) -> str:
    for mount in container["volumeMounts"]:
        place = mount["mountPath"].rstrip("/")
        if word == place or word.startswith(place + "/"):
            return str(volumes[mount["name"]] / mount.get("subPath", "")).rstrip("/") + word.removeprefix(place)
    return word


def _environment(container: JsonObject, secrets: list[JsonObject]) -> Iterable[tuple[str, str]]:
    for variable in container["env"]:
        if "value" in variable:
            yield variable["name"], variable["value"]
            continue
        reference = variable["valueFrom"]["secretKeyRef"]
        (secret,) = [each for each in secrets if each["metadata"]["name"] == reference["name"]]
        yield variable["name"], base64.b64decode(secret["data"][reference["key"]]).decode()
