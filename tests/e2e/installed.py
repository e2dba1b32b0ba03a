"""Installs the chart with helm and runs the webhook as a process.

The process has the arguments of the chart's Deployment, and the ServiceAccount and permissions of the chart. The API
server calls it by URL, because there is no network for Services, and trusts the installed CA.
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
    """An installed chart and the webhook's process."""

    api: Api
    release: Release
    webhook: WebhookProcess

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace that the webhook serves."""
        return self.api.furnished(_name("served"), {**self.release.served, **(labels or {})})

    def elsewhere(self, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace that the webhook does not serve."""
        return self.api.furnished(_name("elsewhere"), labels)

    @property
    def configmap(self) -> Object:
        """The stored ConfigMap with the settings."""
        return self.api.get(one("ConfigMap", self.release.objects))

    def configure(self, data: Mapping[str, Any]) -> None:
        """Replace the settings in the ConfigMap. Values are text, or objects to encode as JSON."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
        self.api.patch(self.configmap, [{"op": "replace", "path": "/data", "value": texts}])

    @contextmanager
    def configured(self, data: Mapping[str, Any]) -> Iterator[None]:
        """Put these settings in effect, and restore the previous ones at the end."""
        before = self.configmap["data"]
        self.configure(data)
        self.await_settings()
        try:
            yield
        finally:
            self.configure(before)
            self.await_settings()

    @contextmanager
    def changed(self, key: str, **fields: Any) -> Iterator[None]:
        """Put the settings in effect with these fields of one key."""
        before = self.configmap["data"]
        with self.configured({**before, key: {**json.loads(before.get(key) or "{}"), **fields}}):
            yield

    def await_settings(self) -> None:
        """Wait until the current version of the ConfigMap is in effect."""
        version = f"version {self.configmap['metadata']['resourceVersion']},"
        eventually(lambda: version in self.webhook.readyz())


def _name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


@contextmanager
def installation(
    api: Api, namespace: str, authority: Authority, directory: Path, **overrides: Any
) -> Iterator[Installation]:
    """Install the chart with these values in its own namespace, and run the webhook."""
    options = {
        "certificates__mode": "existing",
        "certificates__existing__secretName": "certificate",
        "certificates__existing__caBundle": authority.pem.decode(),
        **overrides,
    }
    with installed(api.plane, namespace, *values(**options)) as release:
        kubeconfig = api.plane.service_account(namespace, FULLNAME)
        with running_webhook(directory, release.arguments, authority, kubeconfig) as webhook:
            point_at(api, release, webhook.url)
            running = Installation(api, release, webhook)
            served = running.namespace()
            eventually(lambda: api.injected(served, PROBE))
            yield running
