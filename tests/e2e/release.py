"""Releases of the chart, installed by the real helm into the API server that all tests share."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests import yamls
from tests.chart.rendering import CHART, RELEASE, Object, helm, of_kind, one, values
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import Api

SERVED_BY = "served-by"
"""A release is called only for pods in namespaces that carry its own namespace as this label."""


@dataclass(frozen=True)
class Release:
    """An installed release, and what it was rendered from."""

    namespace: str
    objects: list[Object]

    @property
    def served(self) -> dict[str, str]:
        """The label of namespaces that this release serves."""
        return {SERVED_BY: self.namespace}

    @property
    def configuration(self) -> Object:
        return one("MutatingWebhookConfiguration", self.objects)

    @property
    def configurations(self) -> list[Object]:
        """All that call the webhook: the mutating one, and the validating one for the settings."""
        return [self.configuration, *of_kind("ValidatingWebhookConfiguration", self.objects)]

    @property
    def arguments(self) -> list[str]:
        """What the webhook's container is started with."""
        (container,) = one("Deployment", self.objects)["spec"]["template"]["spec"]["containers"]
        return list(container["args"])


@contextmanager
def installed(plane: ControlPlane, namespace: str, *options: str) -> Iterator[Release]:
    """A release of the chart, installed by helm and removed again."""
    run_helm(plane, namespace, "install", "--create-namespace", *options)
    try:
        text = run_helm(plane, namespace, "get manifest")
        yield Release(namespace, yamls.documents(text))
    finally:
        run_helm(plane, namespace, "uninstall")


def run_helm(plane: ControlPlane, namespace: str, command: str, *options: str) -> str:
    """What helm says of the release in this namespace."""
    where = ("--namespace", namespace, "--kubeconfig", str(plane.kubeconfig))
    if command in ("install", "upgrade"):
        label = {"key": SERVED_BY, "operator": "In", "values": [namespace]}
        options = (str(CHART), *values(webhook__namespaceSelector=[label]), *options)
    run = helm(*command.split(), RELEASE, *where, *options)
    assert run.returncode == 0, run.stderr
    return run.stdout


def point_at(api: Api, release: Release, url: str, authority: bytes | None = None) -> None:
    """Only this differs from an installation with a network: the API server finds the webhook by URL.

    Each webhook of the configurations keeps the path of its Service. `authority`: the CA that is trusted instead of
    the one that was installed.
    """
    for configuration in release.configurations:
        webhooks = api.get(configuration)["webhooks"]
        operations = [
            {"op": "replace", "path": f"/webhooks/{index}/clientConfig", "value": _by_url(webhook, url, authority)}
            for index, webhook in enumerate(webhooks)
        ]
        api.patch(configuration, operations)


def _by_url(webhook: Object, url: str, authority: bytes | None) -> Object:
    installed_config = webhook["clientConfig"]
    bundle = base64.b64encode(authority).decode() if authority else installed_config.get("caBundle")
    path = installed_config["service"]["path"]
    return {"url": f"{url}{path}", **({"caBundle": bundle} if bundle else {})}


def served(api: Api, release: Release) -> str:
    """A namespace that the release serves."""
    return api.furnished(f"{release.namespace}-served", release.served)
