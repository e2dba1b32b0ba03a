"""A kube-apiserver and its etcd, as child processes on loopback, for as long as a `with` block lasts."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx
import yaml
from kubernetes import client as k8s
from kubernetes.config import new_client_from_config

from tests.controlplane import kubeconfig, servers
from tests.controlplane.child import Child
from tests.controlplane.pki import Authority
from tests.controlplane.ports import reserved_port
from tests.controlplane.workdir import owned_directory

ADMIN = "admin"
ADMIN_GROUPS = ("system:masters",)
TOKEN_AUDIENCE = servers.ISSUER
TOKEN_LIFETIME = 24 * 3600
"""Seconds for which a service account's token is good."""


class ControlPlane:
    """What a test needs of a running control plane.

    No controller runs in it: what the controller manager would do and pods need is done by `namespace`, and
    what quota needs by `resource_quota`. A deleted namespace stays Terminating, so each test makes a new one.
    """

    def __init__(self, directory: Path, url: str, authority: Authority, apiserver: Child) -> None:
        self.url = url
        self.ca_file = authority.certificate
        self._directory = directory
        self._authority = authority
        self._apiserver = apiserver
        self.kubeconfig = self.user(ADMIN, ADMIN_GROUPS)

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """A client for the API as it is on the wire, as the admin; paths begin at the server's root."""
        admin = self._authority.client(f"{ADMIN}-http", ADMIN, ADMIN_GROUPS)
        verify = servers.connection(self._authority, admin)
        with httpx.Client(base_url=self.url, verify=verify, trust_env=False) as client:
            yield client

    @contextmanager
    def http_as(self, kubeconfig: Path, user_agent: str) -> Iterator[httpx.Client]:
        """The same as the service account of a kubeconfig; the API server takes field managers from the User-Agent."""
        (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
        headers = {"Authorization": f"Bearer {user['user']['token']}", "User-Agent": user_agent}
        verify = ssl.create_default_context(cafile=str(self.ca_file))
        with httpx.Client(base_url=self.url, verify=verify, trust_env=False, headers=headers, timeout=30) as client:
            yield client

    def client(self, kubeconfig: Path | None = None) -> k8s.ApiClient:
        """The official client, as the admin or whom the kubeconfig names: `with plane.client() as api:`."""
        config_file = str(kubeconfig or self.kubeconfig)
        return cast(k8s.ApiClient, new_client_from_config(config_file))

    def version(self) -> str:
        """The server's version as the server says it: `v1.35.4`."""
        with self.client() as api:
            return k8s.VersionApi(api).get_code().git_version

    def start_apiserver(self) -> None:
        """Start the stopped API server, at the same URL and with the same certificates and data."""
        self._apiserver.start()

    def stop_apiserver(self) -> None:
        """End the API server in order; etcd keeps running."""
        self._apiserver.stop()

    def kill_apiserver(self) -> None:
        """End the API server as a crash would; etcd keeps running."""
        self._apiserver.kill()

    def restart_apiserver(self) -> None:
        """Stop in order, and start."""
        self.stop_apiserver()
        self.start_apiserver()

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a user who has the rights RBAC gives to name and groups, and no others."""
        file = name.replace(":", "-").replace("/", "-")
        pair = self._authority.client(file, name, groups)
        return self._write(file, kubeconfig.for_certificate(self.url, self.ca_file, pair))

    def service_account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of an existing service account, with a token as its pods get."""
        spec = k8s.V1TokenRequestSpec(audiences=[TOKEN_AUDIENCE], expiration_seconds=TOKEN_LIFETIME)
        with self.client() as api:
            answer = k8s.CoreV1Api(api).create_namespaced_service_account_token(
                name, namespace, k8s.AuthenticationV1TokenRequest(spec=spec)
            )
        if not (answer.status and answer.status.token):
            raise LookupError(f"the API server gave no token for service account {namespace}/{name}")
        return self._write(f"{namespace}-{name}", kubeconfig.for_token(self.url, self.ca_file, answer.status.token))

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace in which pods can be created, and give its name."""
        with self.client() as api:
            k8s.CoreV1Api(api).create_namespace(
                k8s.V1Namespace(metadata=k8s.V1ObjectMeta(name=name, labels=dict(labels or {})))
            )
        self.furnish_namespace(name)
        return name

    def furnish_namespace(self, name: str) -> None:
        """Put into an existing namespace what the controller manager puts into every one and pods name.

        The service account `default`, and the ConfigMap `kube-root-ca.crt` of every pod's token volume.
        """
        bundle = k8s.V1ConfigMap(
            metadata=k8s.V1ObjectMeta(name="kube-root-ca.crt"), data={"ca.crt": self.ca_file.read_text()}
        )
        with self.client() as api:
            core = k8s.CoreV1Api(api)
            core.create_namespaced_service_account(
                name, k8s.V1ServiceAccount(metadata=k8s.V1ObjectMeta(name="default"))
            )
            core.create_namespaced_config_map(name, bundle)

    def resource_quota(self, namespace: str, name: str, hard: Mapping[str, str]) -> None:
        """Create a quota that is in force at once, in a namespace without pods.

        The API server decides by the quota's status, which in a cluster a controller fills from its spec.
        """
        quota = k8s.V1ResourceQuota(metadata=k8s.V1ObjectMeta(name=name), spec=k8s.V1ResourceQuotaSpec(hard=dict(hard)))
        status = {"hard": dict(hard), "used": dict.fromkeys(hard, "0")}
        with self.client() as api:
            core = k8s.CoreV1Api(api)
            core.create_namespaced_resource_quota(namespace, quota)
            core.patch_namespaced_resource_quota_status(name, namespace, {"status": status})

    def _write(self, file: str, text: str) -> Path:
        path = self._directory / f"{file}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(text)
        return path


@contextmanager
def control_plane(flags: Sequence[str] = (), base: Path | None = None) -> Iterator[ControlPlane]:
    """A control plane that serves, and is gone with all it wrote after the block or with this process.

    `flags` are added to kube-apiserver's; the directory is made in `base` (default: for temporary files).
    Raises MissingBinaryError when a program has not been obtained, StartError when one does not start.
    """
    with owned_directory(base) as directory, reserved_port() as etcd_port, reserved_port() as port:
        authority = Authority(directory)
        etcd = servers.etcd(directory, etcd_port, authority)
        apiserver = servers.apiserver(directory, port, etcd_port, authority, flags)
        try:
            etcd.start()
            apiserver.start()
            plane = ControlPlane(directory, f"https://127.0.0.1:{port}", authority, apiserver)
            plane.furnish_namespace("default")
            yield plane
        finally:
            apiserver.stop()
            etcd.stop()
