"""The webhook configurations of this webhook in the cluster: the CA that they trust, and their owner."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import structlog
import urllib3
from kubernetes.client import AdmissionregistrationV1Api, ApiClient, ApiException, V1ObjectMeta, V1OwnerReference

from webhook.kubernetes_api.core_api import CoreApi

log = structlog.get_logger()

_TIMEOUT = (2, 5)
"""Seconds to connect, and to wait for a response."""


class WebhookConfigurations:
    """Mutating- and ValidatingWebhookConfigurations, by name. Those that do not exist are left out."""

    def __init__(self, client: ApiClient, names: tuple[str, ...], namespace: str = "") -> None:
        """`namespace`: the owner of the configurations; "" for none."""
        self._api = AdmissionregistrationV1Api(client)
        self._core = CoreApi(client)
        self._names = names
        self._namespace = namespace
        self._owner: dict[str, str] | None = None
        """The owner reference to the namespace, once it was read."""

    def publish(self, bundle: bytes) -> bool:
        """Set the caBundle of all webhooks. True when there are webhooks and all of them had this bundle before."""
        already_published = [
            self._publish_in(configuration, patch, bundle) for configuration, patch in self._read_configurations()
        ]
        return bool(already_published) and all(already_published)

    def _publish_in(self, configuration: Any, patch: Callable[..., Any], bundle: bytes) -> bool:
        encoded_bundle = base64.b64encode(bundle).decode()
        operations: list[dict[str, Any]] = []
        for index, webhook in enumerate(configuration.webhooks or ()):
            if webhook.client_config.ca_bundle != encoded_bundle:
                operations += [
                    {"op": "test", "path": f"/webhooks/{index}/name", "value": webhook.name},
                    {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": encoded_bundle},
                ]
        was_published = not operations
        operations += self._ownership(configuration.metadata)
        if operations:
            patch(configuration.metadata.name, operations, _request_timeout=_TIMEOUT)
            log.info("certificates published", configuration=configuration.metadata.name)
        return was_published

    def _ownership(self, metadata: V1ObjectMeta) -> list[dict[str, Any]]:
        """The operations that make the namespace the owner of a configuration. An owner that others set stays.

        A namespace of the same name that was deleted is no owner: with it alone, Kubernetes would delete the
        configuration (Kubernetes: Garbage Collection).
        """
        if not self._namespace:
            return []
        owner = self._namespace_owner()
        if owner is None or any(_is_current(each, owner) for each in metadata.owner_references or ()):
            return []
        return [{"op": "add", "path": "/metadata/ownerReferences", "value": [owner]}]

    def _namespace_owner(self) -> dict[str, str] | None:
        """The owner reference to the namespace; None when it cannot be read."""
        if self._owner is None:
            name = self._namespace
            try:
                uid = self._core.namespace_metadata(name, _TIMEOUT)["uid"]
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                log.warning(
                    "certificates: the webhook configurations get no owner, because the namespace cannot be read",
                    namespace=name,
                    reason=reason(error),
                )
                return None
            self._owner = {"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": uid}
        return self._owner

    def _read_configurations(self) -> list[tuple[Any, Callable[..., Any]]]:
        api = self._api
        kinds = (
            (api.read_mutating_webhook_configuration, api.patch_mutating_webhook_configuration),
            (api.read_validating_webhook_configuration, api.patch_validating_webhook_configuration),
        )
        found = []
        for name in self._names:
            for read, patch in kinds:
                try:
                    found.append((read(name, _request_timeout=_TIMEOUT), patch))
                except ApiException as error:
                    if error.status == 403:
                        log.warning("certificates: access to a webhook configuration is forbidden", name=name)
                    elif error.status != 404:
                        raise
        return found

    def published_bundle(self) -> bytes:
        """The CA certificates in the caBundles of all webhooks, each once."""
        bundles = [
            base64.b64decode(webhook.client_config.ca_bundle)
            for configuration, _ in self._read_configurations()
            for webhook in configuration.webhooks or ()
            if webhook.client_config.ca_bundle
        ]
        return b"".join(dict.fromkeys(bundles))


def _is_current(reference: V1OwnerReference, owner: dict[str, str]) -> bool:
    """Whether an owner reference is this one, or that of another object."""
    return (reference.kind, reference.name) != (owner["kind"], owner["name"]) or reference.uid == owner["uid"]


def reason(error: Exception) -> str:
    """Why a request to the API server failed, without its content."""
    return f"{error.status} {error.reason}" if isinstance(error, ApiException) else type(error).__name__
