"""The installed webhook: its Deployment, service account and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from webhook.doctor.report import Check, Result

AREA = "Webhook"
POD_WEBHOOK = "pods.storage.kserve.io"
"""The name of the webhook for pods in the chart's MutatingWebhookConfiguration."""

_RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
_SETTINGS = "settings"


@dataclass(frozen=True)
class Installation:
    """What a Deployment says about the webhook that it runs."""

    namespace: str
    deployment: str
    service_account: str
    arguments: Mapping[str, str]
    """The values of the command line's options by name; "" for flags."""
    replicas: int
    ready: int

    @property
    def user(self) -> str:
        """The user name of the service account (Kubernetes: service account authentication)."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"

    @property
    def settings(self) -> tuple[str, str] | None:
        """Namespace and name of the ConfigMap with the settings; None when they are not in one."""
        kind, _, name = self.arguments.get(_SETTINGS, "").partition(":")
        namespace, _, name = name.partition("/")
        return (namespace, name) if kind == "configmap" and name else None


def namespace_of(configuration: Mapping[str, Any]) -> str | None:
    """The namespace of the webhook that is registered with a MutatingWebhookConfiguration."""
    for webhook in configuration.get("webhooks") or ():
        if service := webhook["clientConfig"].get("service"):
            return str(service["namespace"])
    return (configuration["metadata"].get("annotations") or {}).get(_RELEASE_NAMESPACE)


def find_installation(deployments: Iterable[Mapping[str, Any]]) -> Installation | None:
    """The installation among the Deployments of a namespace: the one that has the webhook's arguments."""
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["containers"]:
            arguments = _options(container.get("args") or ())
            if _SETTINGS in arguments and "drain-seconds" in arguments:
                metadata, status = deployment["metadata"], deployment.get("status") or {}
                replicas, ready = deployment["spec"].get("replicas", 1), status.get("readyReplicas", 0)
                account = pod.get("serviceAccountName") or "default"
                return Installation(metadata["namespace"], metadata["name"], account, arguments, replicas, ready)
    return None


def _options(arguments: Iterable[str]) -> dict[str, str]:
    pairs = (argument[2:].partition("=") for argument in arguments if argument.startswith("--"))
    return {name: value for name, _, value in pairs}


def check_installation(installation: Installation) -> Iterator[Check]:
    """Whether replicas are ready."""
    subject = f"Deployment {installation.namespace}/{installation.deployment}"
    detail = f"{installation.ready} of {installation.replicas} replicas are ready"
    if not installation.ready:
        describe = f"kubectl -n {installation.namespace} describe deployment {installation.deployment}"
        yield Check(AREA, subject, Result.BROKEN, f"{detail}: run `{describe}`")
    elif installation.ready < installation.replicas:
        yield Check(AREA, subject, Result.WARNING, detail)
    else:
        yield Check(AREA, subject, Result.WORKS, detail)
