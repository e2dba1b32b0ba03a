"""Claims with models on a real node, whose kubelet measures how full they are."""

from __future__ import annotations

from tests.e2e.api import Api, Object, admitted
from tests.node import images
from tests.node.cluster import claim, volume
from tests.node.node import Node

# Names of claims, and in MB their size and what is written to them each second.
CLAIMS = {"llama": (100, 0.05), "vision": (100, 0.15), "cache": (100, 0.28)}
_WRITER = """
import sys, time
with open("/models/model.bin", "wb", buffering=0) as file:
    while True:
        file.write(bytes(int(float(sys.argv[1]) * 1_000_000)))
        time.sleep(1)
"""


def fill_claims(node: Node, namespace: str) -> None:
    """Create the claims, each with a pod that writes to it."""
    for name, (size, speed) in CLAIMS.items():
        directory = node.directory / "volumes" / name
        directory.mkdir(parents=True)
        node.mount("-t", "tmpfs", "-o", f"size={size}m,mode=777", "tmpfs", str(directory))
        _apply(node.api, namespace, claim(name, name))
        node.api.apply(volume(name, namespace, name, {"local": {"path": str(directory)}})).raise_for_status()
        admitted(node.api.create_pod(namespace, _writer(name, speed)))


def _apply(api: Api, namespace: str, manifest: Object) -> None:
    api.apply({**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}).raise_for_status()


def _writer(name: str, speed: float) -> Object:
    container = {
        "name": "writer",
        "image": images.SERVER,
        "command": ["python3", "-c", _WRITER, str(speed)],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": name}}]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"writer-{name}"}, "spec": spec}
