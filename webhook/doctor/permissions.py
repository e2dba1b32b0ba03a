"""The permissions that the webhook needs, as the chart grants them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from webhook.doctor.installation import POD_WEBHOOK, Installation
from webhook.doctor.kserve import GROUP, STORAGE_CONTAINERS
from webhook.doctor.report import Check, Result
from webhook.settings.model import Settings

AREA = "Permissions"
MAX_NAMESPACES = 20
"""The maximum number of served namespaces whose permissions are checked."""

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_REGISTRATIONS = "admissionregistration.k8s.io"
_LEASES = "coordination.k8s.io"


class Access(NamedTuple):
    """A permission, and what happens without it."""

    verb: str
    resource: str
    without: str
    group: str = ""
    namespace: str = ""
    """Empty: in all namespaces, or not in a namespace."""
    name: str = ""
    """Empty: all objects."""
    result: Result = Result.BROKEN
    """The result without it."""

    @property
    def attributes(self) -> dict[str, str]:
        """The ResourceAttributes of a SelfSubjectAccessReview."""
        fields = {name: getattr(self, name) for name in ("verb", "group", "resource", "namespace", "name")}
        return {name: value for name, value in fields.items() if value}

    @property
    def subject(self) -> str:
        name = f" {self.name}" if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{name}{where}"


def served_namespaces(configuration: Mapping[str, Any]) -> list[str]:
    """The namespaces to which the webhook for pods is restricted; `[""]` when it is not."""
    for webhook in configuration.get("webhooks") or ():
        if webhook["name"] == POD_WEBHOOK:
            for each in (webhook.get("namespaceSelector") or {}).get("matchExpressions") or ():
                if each["key"] == _NAMESPACE_NAME and each["operator"] == "In":
                    return list(each.get("values") or ())[:MAX_NAMESPACES]
    return [""]


def needed(
    installation: Installation, settings: Settings | None, namespaces: list[str], kinds: Collection[str]
) -> Iterator[Access]:
    """The permissions for these settings and arguments. `kinds`: plural names of KServe's kinds that are installed."""
    if source := installation.settings:
        for verb in ("list", "watch"):
            yield Access(verb, "configmaps", "the webhook has no settings", "", *source)
    if settings is None or settings.credentials.enabled:
        for namespace in namespaces:
            for resource in ("serviceaccounts", "secrets"):
                yield Access("get", resource, "pods that need credentials are denied", "", namespace)
    if settings is not None and settings.storage_defaults.claims.read:
        for namespace in namespaces:
            yield Access("get", "persistentvolumeclaims", "pods that mount claims are denied", "", namespace)
    if STORAGE_CONTAINERS in kinds:
        without = "ClusterStorageContainers have no effect"
        yield Access("list", STORAGE_CONTAINERS, without, GROUP, result=Result.WARNING)
    yield from _of_arguments(installation, namespaces)


def _of_arguments(installation: Installation, namespaces: list[str]) -> Iterator[Access]:
    arguments = installation.arguments
    if "events" in arguments:
        for namespace in namespaces:
            without = "no Events about rejected pods"
            yield Access("create", "events", without, "events.k8s.io", namespace, result=Result.WARNING)
    if arguments.get("audit-seconds", "0") not in ("", "0"):
        yield Access("list", "pods", "no audit", result=Result.WARNING)
    if secret := arguments.get("certificate-secret"):
        namespace, _, name = secret.partition("/")
        without = "the certificate is not renewed"
        for verb in ("get", "update"):
            yield Access(verb, "secrets", without, "", namespace, name)
            yield Access(verb, "leases", without, _LEASES, namespace, name)
        for configuration in filter(None, arguments.get("webhook-configurations", "").split(",")):
            without = "the caBundle is not updated"
            yield Access("patch", "mutatingwebhookconfigurations", without, _REGISTRATIONS, "", configuration)


def check_access(access: Access, *, allowed: bool) -> Check:
    """The result for a permission."""
    if allowed:
        return Check(AREA, access.subject, Result.WORKS, "allowed")
    return Check(AREA, access.subject, access.result, f"not allowed: {access.without}; grant it as the chart does")
