"""Run a cluster with one node until Ctrl-C: `python -m tests.node`. It prints how to use kubectl with it."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

from tests.controlplane import binaries
from tests.node.cluster import Cluster, running_cluster
from tests.serving import Authority


def main() -> None:
    """Run the cluster, with a namespace that the webhook serves."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    authority = Authority(trustme.CA(key_type=trustme.KeyType.ECDSA))
    with (
        suppress(KeyboardInterrupt),
        TemporaryDirectory() as directory,
        running_cluster(authority, Path(directory)) as cluster,
    ):
        print(f"nsenter --net=/proc/{os.getpid()}/ns/net {_kubectl(cluster)}", flush=True)
        signal.pause()


def _kubectl(cluster: Cluster) -> str:
    kubeconfig = cluster.api.plane.kubeconfig
    return f"{binaries.kubectl()} --kubeconfig {kubeconfig} --namespace {cluster.namespace()}"


if __name__ == "__main__":
    main()
