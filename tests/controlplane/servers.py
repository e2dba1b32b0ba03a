"""Command lines and readiness checks of etcd and kube-apiserver."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from tests.controlplane import binaries, pins
from tests.controlplane.child import Child
from tests.controlplane.pki import Authority, Pair, write_signing_keys

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Issuer and audience of service account tokens."""


def etcd(directory: Path, port: int, authority: Authority) -> Child:
    """etcd on the loopback port; clients need a certificate of the authority."""
    url = f"https://127.0.0.1:{port}"
    own = authority.server("etcd")
    flags = {
        "data-dir": directory / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": "http://127.0.0.1:0",  # not used by a single member
        "cert-file": own.certificate,
        "key-file": own.key,
        "trusted-ca-file": authority.certificate,
        "client-cert-auth": "true",
        "socket-reuse-port": "true",  # reserved_port also binds the port
        "unsafe-no-fsync": "true",  # the data must survive a crash of the process, not of the machine
        "log-level": "warn",
    }
    command = _command(binaries.path(pins.ETCD), flags)
    return Child(command, directory / "etcd.log", _is_ready(f"{url}/health", connection(authority, own)))


def apiserver(directory: Path, port: int, etcd_port: int, authority: Authority, extra: Sequence[str]) -> Child:
    """kube-apiserver on the loopback port, with its default admission plugins, RBAC and service accounts."""
    own, to_etcd, probe = (
        authority.server("kube-apiserver"),
        authority.client("kube-apiserver-etcd-client", "kube-apiserver"),
        authority.client("readiness-probe", "readiness-probe"),
    )
    signing, verifying = directory / "service-account.key", directory / "service-account.pub"
    write_signing_keys(signing, verifying)
    flags = {
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "endpoint-reconciler-type": "none",  # a loopback address is not a valid endpoint
        "secure-port": port,
        "permit-port-sharing": "true",  # reserved_port also binds the port
        "cert-dir": directory,
        "tls-cert-file": own.certificate,
        "tls-private-key-file": own.key,
        "client-ca-file": authority.certificate,
        "etcd-servers": f"https://127.0.0.1:{etcd_port}",
        "etcd-cafile": authority.certificate,
        "etcd-certfile": to_etcd.certificate,
        "etcd-keyfile": to_etcd.key,
        "service-account-issuer": ISSUER,
        "service-account-signing-key-file": signing,
        "service-account-key-file": verifying,
        "service-cluster-ip-range": "10.0.0.0/24",
        "authorization-mode": "RBAC",
        "allow-privileged": "true",  # as in most clusters, where Pod Security decides
    }
    command = [*_command(binaries.path(pins.KUBE_APISERVER), flags), *extra]
    ready = _is_ready(f"https://127.0.0.1:{port}/readyz", connection(authority, probe))
    return Child(command, directory / "kube-apiserver.log", ready)


def _command(program: Path, flags: Mapping[str, object]) -> list[str]:
    return [str(program), *(f"--{name}={value}" for name, value in flags.items())]


def connection(authority: Authority, pair: Pair) -> ssl.SSLContext:
    """TLS context for clients of both servers, with the pair as client certificate."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def _is_ready(url: str, context: ssl.SSLContext) -> Callable[[], bool]:
    def is_ready() -> bool:
        try:
            return httpx.get(url, verify=context, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return is_ready
