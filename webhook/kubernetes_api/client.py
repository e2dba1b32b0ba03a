"""Configuration of the Kubernetes client, from a kubeconfig or the pod's service account."""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config
from urllib3.exceptions import HTTPError

from webhook.errors import ClusterConfigError

DEFAULT_KUBECONFIG = "~/.kube/config"


class UnusableToken(HTTPError):
    """The token for the API server cannot be part of an HTTP header. The message does not show it."""


class _Configuration(Configuration):
    """A configuration whose token can be sent. The HTTP client's error for another one shows the token."""

    def get_api_key_with_prefix(self, identifier: str, alias: str | None = None) -> str | None:
        """The token without the white space around it, such as the line end of its file."""
        token = super().get_api_key_with_prefix(identifier, alias)
        if token is None:
            return None
        token = " ".join(token.split())
        if not (token.isascii() and token.isprintable()):
            raise UnusableToken(
                "the token for the API server has characters that an HTTP header cannot have: write it again"
            )
        return token


def api_client(kubeconfig: str | None = None) -> ApiClient:
    """Create a client: from `kubeconfig` when given, else this pod's service account, else `KUBECONFIG`.

    `kubeconfig` is a path, or several joined by `:`, as in the environment variable, whose default is
    `~/.kube/config`. No request is sent. The client does not retry: callers decide, because they know how much time
    is left. Raises ClusterConfigError.
    """
    configuration = _from_file(kubeconfig) if kubeconfig else _in_cluster() or _from_file(_default_path())
    configuration.retries = False
    # TCP keep-alive detects connections whose peer is gone.
    configuration.keep_alive = True
    client = ApiClient(configuration)
    client.user_agent = "storage-webhook"
    return client


def _in_cluster() -> Configuration | None:
    """The configuration from the pod's service account; None outside a pod."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    configuration = _Configuration()
    try:
        load_incluster_config(configuration)
    except ConfigException as error:
        raise ClusterConfigError(
            f"KUBERNETES_SERVICE_HOST is set, but this pod's service account cannot be used: {error} "
            "Set automountServiceAccountToken: true, or specify a kubeconfig."
        ) from None
    return configuration


def _default_path() -> str:
    return os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG


def _from_file(path: str) -> Configuration:
    if not any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part):
        raise ClusterConfigError(
            f"no Kubernetes configuration: there is no kubeconfig at {path}. Set KUBECONFIG to one; "
            "in a pod, KUBERNETES_SERVICE_HOST and the service account's token are used."
        )
    # Loads OAuth, which a pod does not need.
    from kubernetes.config.kube_config import load_kube_config

    configuration = _Configuration()
    try:
        load_kube_config(path, client_configuration=configuration, persist_config=False)
    except Exception as error:
        # The loader can raise any exception for a malformed file, and some messages contain the user's token.
        # Therefore only the type of the error is shown.
        raise ClusterConfigError(
            f"the kubeconfig at {path} cannot be used ({type(error).__name__}); "
            f"`kubectl --kubeconfig {path} cluster-info` shows details"
        ) from None
    return configuration
