"""The kubelet of the node."""

import json
import os
from pathlib import Path
from typing import Any

from tests.controlplane import binaries, pins
from tests.controlplane.pki import Authority
from tests.node import containerd
from tests.node.network import NODE_IP
from tests.node.services import CGROUP, INSIDE, Service

NAME = "node1"
PORT = 10250


def api_server_flags(authority: Authority) -> list[str]:
    """Flags of kube-apiserver for a node: authorization, and the certificate by which it reads logs."""
    pair = authority.client("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client")
    return [
        "--authorization-mode=Node",  # besides RBAC
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pair.certificate}",
        f"--kubelet-client-key={pair.key}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def service(directory: Path, kubeconfig: Path, authority: Authority) -> Service:
    """The kubelet with its files in the node's directory. The authority signs the certificates of its clients."""
    (directory / "resolv.conf").touch()
    (directory / "kubelet.json").write_text(json.dumps(_configuration(authority)))
    flags = {
        "config": INSIDE / "kubelet.json",
        "kubeconfig": kubeconfig,
        "root-dir": INSIDE / "kubelet",
        "cert-dir": INSIDE / "kubelet-certificates",
        "hostname-override": NAME,
        "node-ip": NODE_IP,
        "cgroup-root": f"/{CGROUP}",
        "v": 2,
    }
    command = [str(binaries.path(pins.KUBELET)), *(f"--{name}={value}" for name, value in flags.items())]
    return Service(command, str(INSIDE / "kubelet.log"), dict(os.environ), str(containerd.SOCKET))


def _configuration(authority: Authority) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/"""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "port": PORT,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "enforceNodeAllocatable": ["pods"],
        # The disk belongs to the machine: its filling is not the node's to act on.
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": str(INSIDE / "plugins"),
        "podLogsDir": str(INSIDE / "logs"),
        "resolvConf": str(INSIDE / "resolv.conf"),
        "clusterDNS": [],
        "serializeImagePulls": False,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "volumeStatsAggPeriod": "5s",
        "featureGates": {"ImageVolume": True},
    }
