"""The product as an administrator installs it: the chart by helm, and the webhook that it is for.

The webhook's process runs with the arguments of the chart's Deployment, as the chart's ServiceAccount, with the
rights of the chart's roles. The API server reaches it by URL, since there is no network of Services; it trusts it by
the CA that was installed.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.rendering import FULLNAME, Object, one, values
from tests.e2e.api import Api, eventually
from tests.e2e.process import WebhookProcess, running_webhook
from tests.e2e.release import Release, installed, point_at
from tests.mutation import plain_pod
from tests.serving import Authority

PROBE = plain_pod("s3://models/iris")


@dataclass(frozen=True)
class Installation:
    """An installed chart, and the webhook's process."""

    api: Api
    release: Release
    webhook: WebhookProcess

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace that the webhook serves."""
        return self.api.furnished(_name("served"), {**self.release.served, **(labels or {})})

    def elsewhere(self, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace that it does not serve."""
        return self.api.furnished(_name("elsewhere"), labels)

    @property
    def configmap(self) -> Object:
        """The ConfigMap with the settings, as it is now."""
        return self.api.get(one("ConfigMap", self.release.objects))

    def configure(self, data: Mapping[str, Any]) -> None:
        """Put settings into the ConfigMap: by key, as YAML that is not text yet or as the text itself."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
        self.api.patch(self.configmap, [{"op": "replace", "path": "/data", "value": texts}])

    @contextmanager
    def configured(self, data: Mapping[str, Any]) -> Iterator[None]:
        """With these settings live, and after it with those from before."""
        before = self.configmap["data"]
        self.configure(data)
        self.await_settings()
        try:
            yield
        finally:
            self.configure(before)
            self.await_settings()

    def await_settings(self) -> None:
        """Wait until the ConfigMap as it is now is what the webhook goes by."""
        version = f"version {self.configmap['metadata']['resourceVersion']},"
        eventually(lambda: version in self.webhook.readyz())


def _name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


@contextmanager
def installation(
    api: Api, namespace: str, authority: Authority, directory: Path, **chosen: Any
) -> Iterator[Installation]:
    """The chart in a namespace of its own, with these values, and the webhook's process."""
    options = {
        "certificates__mode": "existing",
        "certificates__existing__secretName": "certificate",
        "certificates__existing__caBundle": authority.pem.decode(),
        **chosen,
    }
    with installed(api.plane, namespace, *values(**options)) as release:
        kubeconfig = api.plane.service_account(namespace, FULLNAME)
        with running_webhook(directory, release.arguments, authority, kubeconfig) as webhook:
            point_at(api, release, webhook.url)
            made = Installation(api, release, webhook)
            served = made.namespace()
            eventually(lambda: api.injected(served, PROBE))
            yield made
