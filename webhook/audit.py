"""What slipped through: pods that asked for a model and were admitted without it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.client import AdmissionregistrationV1Api, ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook import annotations as keys
from webhook.admission import Outcome, ask, settle
from webhook.core_api import CoreApi
from webhook.errors import LookupFailed
from webhook.facts import NO_FACTS
from webhook.request import ModelRequest
from webhook.settings.model import Settings

_TIMEOUT = (3, 30)
"""Seconds to connect, and to wait for an answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A pod that asked and was not injected, and what is known of the reason."""

    namespace: str
    pod: str
    reason: str


@dataclass(frozen=True, slots=True)
class Registration:
    """What of the webhook's registration explains that it was not called."""

    created: datetime.datetime | None
    """When the MutatingWebhookConfiguration was made; None when there is none."""
    ignores_failures: bool = False


def slipped(pod: Any, settings: Settings) -> Outcome | None:
    """What the webhook would make of a pod that lacks its model; None when it has it or never asked."""
    enforced = settings.model_copy(
        update={"storage_defaults": settings.storage_defaults.model_copy(update={"mode": "enforce"})}
    )
    namespace = (pod.get("metadata") or {}).get("namespace") or ""
    asked = ask(pod, namespace, enforced)
    outcome = asked if isinstance(asked, Outcome) else settle(pod, asked, enforced, NO_FACTS)
    injected = isinstance(asked, ModelRequest) and asked.already_injected
    return None if injected or outcome.kind in ("unchanged", "skipped") else outcome


def explain(
    pod: Mapping[str, Any], outcome: Outcome, registration: Registration, namespace_labels: Mapping[str, str]
) -> str:
    """Why the webhook did not inject a pod, as far as it can be told afterwards."""
    if outcome.kind == "denied":
        return f"it would be denied today: {outcome.message}"
    if namespace_labels.get(keys.INJECT) == "disabled":
        return f"its namespace carries the label {keys.INJECT}: disabled"
    if registration.created is None:
        return "no webhook is registered"
    created = _time((pod.get("metadata") or {}).get("creationTimestamp"))
    if created is not None and created < registration.created:
        return "it is older than the webhook's registration: create it again"
    if registration.ignores_failures:
        return "the webhook may have been down: its failurePolicy is Ignore"
    return "the webhook was not called: look at the selectors of its registration, or the annotation came later"


def _time(text: Any) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None


class Auditor:
    """Looks at the pods of a cluster."""

    def __init__(self, client: ApiClient, configuration: str) -> None:
        self._core = CoreApi(client)
        self._hooks = AdmissionregistrationV1Api(client)
        self._configuration = configuration

    def audit(self, settings: Settings, namespace: str | None = None) -> list[Finding]:
        """The pods of one namespace, or of all, that asked and were not injected; finished ones do not count.

        Raises LookupFailed when the API server does not answer, or does not allow it.
        """
        try:
            registration = self._registration()
            return [
                Finding(pod["metadata"]["namespace"], pod["metadata"]["name"], self._reason(pod, outcome, registration))
                for pod in self._core.unfinished_pods(namespace)
                if (outcome := slipped(pod, settings)) is not None
            ]
        except ApiException as error:
            raise LookupFailed(f"the API server answered {error.status} {error.reason}: {_remedy(error)}") from None
        except HTTPError as error:
            raise LookupFailed(f"the API server cannot be reached ({type(error).__name__}): try again") from None

    def _reason(self, pod: Mapping[str, Any], outcome: Outcome, registration: Registration) -> str:
        return explain(pod, outcome, registration, self._labels(pod["metadata"]["namespace"]))

    def _registration(self) -> Registration:
        try:
            found: Any = self._hooks.read_mutating_webhook_configuration(self._configuration, _request_timeout=_TIMEOUT)
        except ApiException as error:
            if error.status in (403, 404):
                return Registration(None)
            raise
        ignores = any(webhook.failure_policy == "Ignore" for webhook in found.webhooks or ())
        return Registration(found.metadata.creation_timestamp, ignores)

    def _labels(self, namespace: str) -> Mapping[str, str]:
        try:
            return self._core.namespace_labels(namespace, _TIMEOUT)
        except (ApiException, HTTPError):
            # A reason less, not an audit less.
            return {}


def _remedy(error: ApiException) -> str:
    return "this needs the right to list pods" if error.status == 403 else "try again"
