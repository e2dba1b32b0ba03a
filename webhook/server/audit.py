"""Audit: find pods that requested a model but were not injected."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.client import AdmissionregistrationV1Api, ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook import annotations as keys
from webhook.admission import pods
from webhook.admission.outcome import Outcome
from webhook.cluster.facts import NO_FACTS
from webhook.errors import LookupFailed
from webhook.kubernetes_api.core_api import CoreApi
from webhook.request.injected import targets_with_model
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings

_TIMEOUT = (3, 30)
"""Seconds to connect, and to wait for an answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A pod that requested a model but was not injected, and the likely reason."""

    namespace: str
    pod: str
    reason: str


@dataclass(frozen=True, slots=True)
class Registration:
    """The parts of the webhook's registration that can explain why it was not called."""

    created: datetime.datetime | None
    """When the MutatingWebhookConfiguration was created; None when there is none."""
    ignores_failures: bool = False


def missing_injection(pod: Any, settings: Settings) -> Outcome | None:
    """The outcome that a pod without its model would have; None when the pod has it or requests none."""
    enforced = settings.enforced
    namespace = (pod.get("metadata") or {}).get("namespace") or ""
    request = pods.read(pod, namespace, enforced)
    outcome = request if isinstance(request, Outcome) else pods.apply(pod, request, enforced, NO_FACTS)
    injected = isinstance(request, ModelRequest) and (
        request.already_injected or bool(targets_with_model(pod, request.sources, direct=request.direct))
    )
    return None if injected or outcome.kind in ("unchanged", "skipped") else outcome


def explain(
    pod: Mapping[str, Any], outcome: Outcome, registration: Registration, namespace_labels: Mapping[str, str]
) -> str:
    """The likely reason why the webhook did not inject a pod."""
    if outcome.kind == "denied":
        return f"it would be denied now: {outcome.message}"
    if namespace_labels.get(keys.INJECT) == "disabled":
        return f"its namespace has the label {keys.INJECT}: disabled"
    if registration.created is None:
        return "no webhook is registered"
    created = _time((pod.get("metadata") or {}).get("creationTimestamp"))
    if created is not None and created < registration.created:
        return "it is older than the webhook's registration: recreate it"
    if registration.ignores_failures:
        return "the webhook may have been down: its failurePolicy is Ignore"
    return "the webhook was not called: check the selectors of its registration, or the annotation was added later"


def _time(text: Any) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None


class Auditor:
    """Checks the pods of a cluster."""

    def __init__(self, client: ApiClient, configuration: str) -> None:
        self._core = CoreApi(client)
        self._hooks = AdmissionregistrationV1Api(client)
        self._configuration = configuration

    def audit(self, settings: Settings, namespace: str | None = None) -> list[Finding]:
        """The unfinished pods of one namespace, or of all, that requested a model but were not injected.

        Raises LookupFailed when the API server does not answer, or does not allow it.
        """
        try:
            registration = self._registration()
            return [
                Finding(pod["metadata"]["namespace"], pod["metadata"]["name"], self._reason(pod, outcome, registration))
                for pod in self._core.unfinished_pods(namespace)
                if (outcome := missing_injection(pod, settings)) is not None
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
            return self._core.namespace_metadata(namespace, _TIMEOUT).get("labels") or {}
        except (ApiException, HTTPError):
            # The audit goes on with one possible reason less.
            return {}


def _remedy(error: ApiException) -> str:
    return "this needs the right to list pods" if error.status == 403 else "try again"
