"""kube-controller-manager and kube-scheduler."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.controlplane import binaries, pins
from tests.controlplane.child import Child
from tests.controlplane.pins import Program
from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import reserved_port


@contextmanager
def running(plane: ControlPlane, directory: Path) -> Iterator[None]:
    """Run both, with the permissions that Kubernetes gives them."""
    manager = {
        "use-service-account-credentials": "true",
        "root-ca-file": plane.ca_file,
        "pvclaimbinder-sync-period": "1s",
    }
    with ExitStack() as stack:
        stack.enter_context(_running(pins.KUBE_CONTROLLER_MANAGER, plane, directory, manager))
        stack.enter_context(_running(pins.KUBE_SCHEDULER, plane, directory, {}))
        yield


@contextmanager
def _running(program: Program, plane: ControlPlane, directory: Path, flags: dict[str, object]) -> Iterator[None]:
    kubeconfig = plane.user(f"system:{program.name}")
    with reserved_port() as port:
        options = {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "permit-port-sharing": "true",  # reserved_port also binds the port
            "leader-elect": "false",
            "cert-dir": directory / program.name,
            **flags,
        }
        command = [str(binaries.path(program)), *(f"--{name}={value}" for name, value in options.items())]
        child = Child(command, directory / f"{program.name}.log", _is_healthy(f"https://127.0.0.1:{port}/healthz"))
        child.start()
        try:
            yield
        finally:
            child.stop()


def _is_healthy(url: str) -> Callable[[], bool]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a certificate that it made itself

    def is_healthy() -> bool:
        try:
            return httpx.get(url, verify=context, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return is_healthy
