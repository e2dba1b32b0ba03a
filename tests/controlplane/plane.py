"""A kube-apiserver and its etcd as child processes on loopback, for the duration of a `with` block."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
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
"""Lifetime of a service account's token in seconds."""


class ControlPlane:
    """A running control plane.

    It has no controllers. `namespace` and `resource_quota` create what the controller manager would create for pods
    and quotas. A deleted namespace stays in the phase Terminating, so each test creates a new one.
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
        """A plain HTTP client for the API, as the admin; paths start at the server's root."""
        admin = self._authority.client(f"{ADMIN}-http", ADMIN, ADMIN_GROUPS)
        verify = servers.connection(self._authority, admin)
        with httpx.Client(base_url=self.url, verify=verify, trust_env=False) as client:
            yield client

    @contextmanager
    def http_as(self, kubeconfig: Path, user_agent: str) -> Iterator[httpx.Client]:
        """Like `http`, as a kubeconfig's service account. The User-Agent determines the field manager."""
        (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
        headers = {"Authorization": f"Bearer {user['user']['token']}", "User-Agent": user_agent}
        verify = ssl.create_default_context(cafile=str(self.ca_file))
        with httpx.Client(base_url=self.url, verify=verify, trust_env=False, headers=headers, timeout=30) as client:
            yield client

    def client(self, kubeconfig: Path | None = None) -> k8s.ApiClient:
        """The official client, as the admin or the kubeconfig's user: `with plane.client() as api:`."""
        config_file = str(kubeconfig or self.kubeconfig)
        return cast(k8s.ApiClient, new_client_from_config(config_file))

    def version(self) -> str:
        """The version that the server reports: `v1.35.4`."""
        with self.client() as api:
            return k8s.VersionApi(api).get_code().git_version

    def start_apiserver(self) -> None:
        """Start the stopped API server, with the same URL, certificates and data."""
        self._apiserver.start()

    def stop_apiserver(self) -> None:
        """Stop the API server gracefully; etcd keeps running."""
        self._apiserver.stop()

    def kill_apiserver(self) -> None:
        """Kill the API server; etcd keeps running."""
        self._apiserver.kill()

    def restart_apiserver(self) -> None:
        """Stop the API server gracefully and start it again."""
        self.stop_apiserver()
        self.start_apiserver()

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a user who has only the permissions that RBAC grants to the name and the groups."""
        file = name.replace(":", "-").replace("/", "-")
        pair = self._authority.client(file, name, groups)
        return self._write(file, kubeconfig.for_certificate(self.url, self.ca_file, pair))

    def service_account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of an existing service account, with a token like that of its pods."""
        spec = k8s.V1TokenRequestSpec(audiences=[TOKEN_AUDIENCE], expiration_seconds=TOKEN_LIFETIME)
        with self.client() as api:
            response = k8s.CoreV1Api(api).create_namespaced_service_account_token(
                name, namespace, k8s.AuthenticationV1TokenRequest(spec=spec)
            )
        if not (response.status and response.status.token):
            raise LookupError(f"the API server issued no token for service account {namespace}/{name}")
        return self._write(f"{namespace}-{name}", kubeconfig.for_token(self.url, self.ca_file, response.status.token))

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace in which pods can be created, and return its name."""
        with self.client() as api:
            k8s.CoreV1Api(api).create_namespace(
                k8s.V1Namespace(metadata=k8s.V1ObjectMeta(name=name, labels=dict(labels or {})))
            )
        self.create_namespace_defaults(name)
        return name

    def create_namespace_defaults(self, name: str) -> None:
        """Create the objects in a namespace that the controller manager would create and that pods reference.

        These are the service account `default` and the ConfigMap `kube-root-ca.crt` for pods' token volumes. Objects
        that exist stay as they are.
        """
        bundle = k8s.V1ConfigMap(
            metadata=k8s.V1ObjectMeta(name="kube-root-ca.crt"), data={"ca.crt": self.ca_file.read_text()}
        )
        with self.client() as api:
            core = k8s.CoreV1Api(api)
            account = k8s.V1ServiceAccount(metadata=k8s.V1ObjectMeta(name="default"))
            with _existing_allowed():
                core.create_namespaced_service_account(name, account)
            with _existing_allowed():
                core.create_namespaced_config_map(name, bundle)

    def resource_quota(self, namespace: str, name: str, hard: Mapping[str, str]) -> None:
        """Create a quota that takes effect at once, in a namespace without pods.

        The API server uses the quota's status, which in a cluster a controller sets from its spec.
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
def _existing_allowed() -> Iterator[None]:
    try:
        yield
    except k8s.ApiException as error:
        if error.status != HTTPStatus.CONFLICT:
            raise


@contextmanager
def control_plane(flags: Sequence[str] = (), base: Path | None = None) -> Iterator[ControlPlane]:
    """A running control plane. It and its files are removed after the block, or when this process ends.

    `flags` are added to the flags of kube-apiserver. `base` is the parent directory (default: for temporary files).
    Raises MissingBinaryError if a program has not been obtained, StartError if one does not start.
    """
    with owned_directory(base) as directory, reserved_port() as etcd_port, reserved_port() as port:
        authority = Authority(directory)
        etcd = servers.etcd(directory, etcd_port, authority)
        apiserver = servers.apiserver(directory, port, etcd_port, authority, flags)
        try:
            etcd.start()
            apiserver.start()
            plane = ControlPlane(directory, f"https://127.0.0.1:{port}", authority, apiserver)
            plane.create_namespace_defaults("default")
            yield plane
        finally:
            apiserver.stop()
            etcd.stop()
