"""Releases of the chart, installed by the real helm into the shared API server."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests import yamls
from tests.chart.rendering import CHART, RELEASE, Object, helm, of_kind, one, values
from tests.controlplane.plane import ControlPlane
from tests.e2e.api import Api

SERVED_BY = "served-by"
"""A label of namespaces. Its value is the namespace of the release that serves them."""


@dataclass(frozen=True)
class Release:
    """An installed release and its rendered objects."""

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
        """The mutating and the validating webhook configurations."""
        return [self.configuration, *of_kind("ValidatingWebhookConfiguration", self.objects)]

    @property
    def arguments(self) -> list[str]:
        """The arguments of the webhook's container."""
        (container,) = one("Deployment", self.objects)["spec"]["template"]["spec"]["containers"]
        return list(container["args"])


@contextmanager
def installed(plane: ControlPlane, namespace: str, *options: str) -> Iterator[Release]:
    """Install the chart with helm, and uninstall it at the end."""
    run_helm(plane, namespace, "install", "--create-namespace", *options)
    try:
        text = run_helm(plane, namespace, "get manifest")
        yield Release(namespace, yamls.documents(text))
    finally:
        run_helm(plane, namespace, "uninstall")


def run_helm(plane: ControlPlane, namespace: str, command: str, *options: str) -> str:
    """Run helm for the release in this namespace. Returns its output."""
    where = ("--namespace", namespace, "--kubeconfig", str(plane.kubeconfig))
    if command in ("install", "upgrade"):
        label = {"key": SERVED_BY, "operator": "In", "values": [namespace]}
        options = (str(CHART), *values(webhook__namespaceSelector=[label]), *options)
    run = helm(*command.split(), RELEASE, *where, *options)
    assert run.returncode == 0, run.stderr
    return run.stdout


def point_at(api: Api, release: Release, url: str, authority: bytes | None = None) -> None:
    """Make the API server call the webhook by URL instead of by Service.

    This is the only difference from a real installation. The path stays. `authority` replaces the installed CA.
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
    """Create a namespace that the release serves."""
    return api.furnished(f"{release.namespace}-served", release.served)
