"""containerd: its configuration, and its images."""

import json
import os
from pathlib import Path

from tests.controlplane import binaries, pins
from tests.controlplane.console import run
from tests.controlplane.pki import API_SERVICE
from tests.node import images, packages
from tests.node.network import NODE_IP, PODS
from tests.node.services import INSIDE, Service

NAMESPACE = "k8s.io"
"""containerd's namespace for the kubelet's containers and images."""
SOCKET = INSIDE / "containerd.sock"


def service(directory: Path) -> Service:
    """containerd with its files in the node's directory."""
    (directory / "cni").mkdir()
    (directory / "cni" / "10-pods.conflist").write_text(_network())
    (directory / "containerd.toml").write_text(_configuration())
    path = f"{binaries.path(pins.CONTAINERD_SHIM).parent}:{packages.runc()}:{os.environ['PATH']}"
    command = [str(binaries.path(pins.CONTAINERD)), "--config", str(INSIDE / "containerd.toml")]
    return Service(command, str(INSIDE / "containerd.log"), {**os.environ, "PATH": path})


def ctr(directory: Path, *arguments: str | Path) -> str:
    """The output of containerd's command line. Raises ObtainError if it fails."""
    # The path of a socket has at most 107 bytes.
    options = ("--address", f"/proc/self/cwd/{SOCKET.name}", "--namespace", NAMESPACE)
    return run([binaries.path(pins.CTR), *options, *arguments], os.environ, directory=directory)


def root(directory: Path) -> Path:
    """containerd's persistent files in the node's directory: images and snapshots."""
    return directory / "containerd"


def _configuration() -> str:
    """https://github.com/containerd/containerd/blob/main/docs/cri/config.md"""
    return f"""
version = 3
root = "{root(INSIDE)}"
state = "{INSIDE}/containerd-state"
oom_score = 0
[grpc]
  address = "{SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{images.PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{packages.cni()}"]
    conf_dir = "{INSIDE}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _network() -> str:
    """Pods reach the node's address. There is no default route, so that nothing leaves the machine."""
    routes = [{"dst": f"{address}/32"} for address in (NODE_IP, API_SERVICE)]
    ipam = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": routes}
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {**ipam, "dataDir": str(INSIDE / "addresses")},
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})
