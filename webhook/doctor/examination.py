"""Reads the cluster and runs all checks. Nothing in the cluster is changed."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook.doctor import installation, kserve, nodes, permissions, registration, storage, versions
from webhook.doctor.connection import check_certificate
from webhook.doctor.installation import Installation
from webhook.doctor.report import Check, Result
from webhook.errors import LookupFailed
from webhook.kubernetes_api.json_api import JsonApi
from webhook.settings.model import Settings
from webhook.settings.parse import SettingsError, parse, require_keys

_ADMISSION = "/apis/admissionregistration.k8s.io/v1/"
_OLDEST: versions.Version = (1, 28)


class Examination:
    """The checks of one cluster, in order. `address`: where the webhook can be reached from here."""

    def __init__(self, client: ApiClient, address: tuple[str, int] | None = None) -> None:
        self._api = JsonApi(client)
        self._address = address
        self._now = datetime.datetime.now(datetime.UTC)
        self.checks: list[Check] = []

    def run(self) -> list[Check]:
        """All checks. Raises LookupFailed when the API server cannot be reached."""
        try:
            server = self._server()
            kinds = self._kserve()
            settings = self._webhooks(kinds)
            with self._area(nodes.AREA, "nodes"):
                groups = nodes.groups_of(self._api.items("/api/v1/nodes"))
                native = any(each.storage_initializer.oci_mode == "native" for each in settings)
                self._add(nodes.check_nodes(groups, server, native_is_default=native))
            with self._area(storage.AREA, "classes"):
                classes, drivers = "/apis/storage.k8s.io/v1/storageclasses", "/apis/storage.k8s.io/v1/csidrivers"
                self._add(storage.check_storage(self._api.items(classes), list(self._api.items(drivers))))
        except HTTPError as error:
            raise LookupFailed(f"the API server cannot be reached ({type(error).__name__}): check KUBECONFIG") from None
        return self.checks

    def _add(self, checks: Iterable[Check]) -> None:
        self.checks.extend(checks)

    @contextlib.contextmanager
    def _area(self, area: str, subject: str) -> Iterator[None]:
        """Report an error of the API server, such as a missing permission of this user, as unknown."""
        try:
            yield
        except ApiException as error:
            self.checks.append(Check(area, subject, Result.UNKNOWN, _reason(error)))

    def _server(self) -> versions.Version | None:
        with self._area("API server", "version"):
            text = str(self._api.get("/version")["gitVersion"])
            version = versions.parse(text)
            is_old = version is not None and version < _OLDEST
            detail = f"{text}: Kubernetes {versions.shown(_OLDEST)} or newer is needed" if is_old else text
            self.checks.append(Check("API server", "version", Result.BROKEN if is_old else Result.WORKS, detail))
            return version
        return None

    def _kserve(self) -> set[str]:
        kinds: set[str] = set()
        with self._area(kserve.AREA, "kinds"):
            kinds = set(self._plurals(kserve.GROUP))
            self._add(kserve.check_kserve(kinds))
        return kinds

    def _plurals(self, group: str) -> Iterator[str]:
        """The plural names of the kinds of a group; none when the API server does not serve it."""
        try:
            served = self._api.get(f"/apis/{group}")["versions"]
        except ApiException as error:
            if error.status == 404:
                return
            raise
        for version in served:
            resources = self._api.get(f"/apis/{version['groupVersion']}")["resources"]
            yield from (each["name"] for each in resources if "/" not in each["name"])

    def _webhooks(self, kinds: set[str]) -> list[Settings]:
        """Check each registered webhook. Returns the settings that could be read."""
        found: list[Settings] = []
        with self._area(installation.AREA, "registration"):
            mutating = list(self._api.items(f"{_ADMISSION}mutatingwebhookconfigurations"))
            validating = list(self._api.items(f"{_ADMISSION}validatingwebhookconfigurations"))
            ours = [each for each in mutating if _is_ours(each)]
            if not ours:
                detail = f"no webhook {installation.POD_WEBHOOK} is registered: install the chart"
                self.checks.append(Check(installation.AREA, "registration", Result.BROKEN, detail))
            for each in ours:
                name = each["metadata"]["name"]
                self._registration(each, [other for other in validating if other["metadata"]["name"] == name])
                self._add(kserve.check_order(name, {other["metadata"]["name"] for other in mutating}))
                if (settings := self._installation(each, kinds)) is not None:
                    found.append(settings)
        return found

    def _registration(self, configuration: Mapping[str, Any], validating: list[dict[str, Any]]) -> None:
        self._add(registration.check_failure_policy(configuration))
        for endpoint in registration.endpoints(configuration, *validating):
            self.checks.append(registration.check_ca_bundle(endpoint, self._now))
            if endpoint.ca_bundle:
                self.checks.append(check_certificate(endpoint, self._address, self._now))

    def _installation(self, configuration: Mapping[str, Any], kinds: set[str]) -> Settings | None:
        namespace = installation.namespace_of(configuration)
        with self._area(installation.AREA, "Deployment"):
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
            found = installation.find_installation(self._api.items(path)) if namespace else None
            if found is None:
                detail = f"no Deployment of the webhook in namespace {namespace}"
                self.checks.append(Check(installation.AREA, "Deployment", Result.UNKNOWN, detail))
                return None
            self._add(installation.check_installation(found))
            settings = self._settings(found)
            self._permissions(found, configuration, settings, kinds)
            return settings
        return None

    def _settings(self, found: Installation) -> Settings | None:
        if found.settings is None:
            return None
        namespace, name = found.settings
        area, subject = "Settings", f"ConfigMap {namespace}/{name}"
        with self._area(area, subject):
            try:
                data = self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}").get("data") or {}
                require_keys(data)
                settings, warnings = parse(data)
            except ApiException as error:
                if error.status != 404:
                    raise
                self.checks.append(
                    Check(area, subject, Result.BROKEN, "does not exist: create it, or correct --settings")
                )
            except SettingsError as error:
                self._add(Check(area, subject, Result.BROKEN, str(problem)) for problem in error.problems)
            else:
                self._add(Check(area, subject, Result.WARNING, str(warning)) for warning in warnings)
                self.checks.append(Check(area, subject, Result.WORKS, f"valid, mode {settings.storage_defaults.mode}"))
                return settings
        return None

    def _permissions(
        self, found: Installation, configuration: Mapping[str, Any], settings: Settings | None, kinds: set[str]
    ) -> None:
        """Ask for the permissions of the webhook's service account, by impersonation."""
        with self._area(permissions.AREA, found.user):
            api = self._api.as_user(found.user)
            namespaces = permissions.served_namespaces(configuration)
            for access in permissions.needed(found, settings, namespaces, kinds):
                self.checks.append(permissions.check_access(access, allowed=_is_allowed(api, access)))


def _is_allowed(api: JsonApi, access: permissions.Access) -> bool:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": access.attributes},
    }
    return bool(api.review(path, body)["status"]["allowed"])


def _is_ours(configuration: Mapping[str, Any]) -> bool:
    return any(webhook["name"] == installation.POD_WEBHOOK for webhook in configuration.get("webhooks") or ())


def _reason(error: ApiException) -> str:
    """The API server's sentence, such as `nodes is forbidden: User … cannot list resource …`."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return f"the API server answered {error.status}: {json.loads(error.body or '')['message']}"
    return f"the API server answered {error.status} {error.reason}"
