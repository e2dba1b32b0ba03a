"""Admission handlers: one coroutine for each kind of object."""

from __future__ import annotations

from typing import Any, NamedTuple

from webhook.admission import deployments, pods, workloads
from webhook.admission.outcome import Outcome, denied, failed, lookup_failed, skipped
from webhook.admission.review import Request
from webhook.admission.settings import admit_settings
from webhook.cluster.facts import NO_FACTS, Facts
from webhook.errors import Denied, LookupFailed
from webhook.request.model_request import ModelRequest
from webhook.server.context import Webhook
from webhook.settings.model import Settings

_NO_SETTINGS = "the storage webhook has not loaded its settings yet: try again"


class Dependencies(NamedTuple):
    """What an outcome depends on, besides the admission request itself."""

    settings: Settings
    request: ModelRequest | None = None
    """The request that facts were looked up for; None when the pod requests nothing."""
    facts: Facts = NO_FACTS

    def are_current(self, webhook: Webhook) -> bool:
        """Whether the same admission request has the same outcome now; False also when only a lookup could tell."""
        snapshot = webhook.settings.current
        if snapshot is None or snapshot.settings is not self.settings:
            return False
        if self.request is None:
            return True
        facts = webhook.facts.peek(self.request, self.settings)
        return facts is not None and facts.is_same_reading(self.facts)


class Decision(NamedTuple):
    """The outcome of an admission request; `dependencies`: what else it depends on, None when that is not known."""

    outcome: Outcome
    dependencies: Dependencies | None = None


async def handle_pod(webhook: Webhook, admission: Request) -> Decision:
    """Inject the model that a new pod requests."""
    if (admission.group, admission.kind) != ("", "Pod") or admission.sub_resource:
        return Decision(skipped("not-a-pod"))
    if admission.operation != "CREATE":
        return Decision(skipped("not-a-create"))
    snapshot = webhook.settings.current
    if snapshot is None:
        return Decision(failed(_NO_SETTINGS))
    return await _decide(webhook, admission.object, admission.namespace, snapshot.settings)


async def handle_deployment(webhook: Webhook, admission: Request) -> Decision:
    """Adjust the rollout of a Deployment whose pods request a model."""
    return Decision(await _deployment_outcome(webhook, admission))


async def handle_workload(webhook: Webhook, admission: Request) -> Decision:
    """Warn the author of a workload about its pods. Never denies."""
    return Decision(await _workload_outcome(webhook, admission))


async def handle_settings(webhook: Webhook, admission: Request) -> Decision:
    """Admit a settings ConfigMap when it is valid."""
    return Decision(admit_settings(admission.operation, admission.object))


async def _deployment_outcome(webhook: Webhook, admission: Request) -> Outcome:
    if (admission.group, admission.kind) != ("apps", "Deployment") or admission.sub_resource:
        return skipped("not-a-deployment")
    if admission.operation not in ("CREATE", "UPDATE"):
        return skipped("not-a-change")
    snapshot = webhook.settings.current
    if snapshot is None:
        return failed(_NO_SETTINGS)
    request = deployments.read(admission.object, admission.namespace, snapshot.settings)
    if isinstance(request, Outcome):
        return request
    facts = await _facts(webhook, request, snapshot.settings)
    if isinstance(facts, Outcome):
        return facts
    return deployments.apply(admission.object, _old_object(admission), request, snapshot.settings, facts)


async def _workload_outcome(webhook: Webhook, admission: Request) -> Outcome:
    path = workloads.TEMPLATES.get((admission.group, admission.kind))
    if path is None or admission.sub_resource:
        return skipped("not-a-workload")
    if admission.operation not in ("CREATE", "UPDATE"):
        return skipped("not-a-change")
    snapshot = webhook.settings.current
    if snapshot is None:
        return skipped("settings-missing")
    template = workloads.template_of(admission.object, _old_object(admission), path)
    if isinstance(template, Outcome):
        return template
    decision = await _decide(webhook, template, admission.namespace, snapshot.settings.enforced)
    return workloads.advise(admission.object, path, decision.outcome, snapshot.settings)


async def _decide(webhook: Webhook, pod: Any, namespace: str, settings: Settings) -> Decision:
    """The decision for a pod, or for a pod template."""
    request = pods.read(pod, namespace, settings)
    if isinstance(request, Outcome):
        return Decision(request, Dependencies(settings))
    facts = await _facts(webhook, request, settings)
    if isinstance(facts, Outcome):
        return Decision(facts)
    outcome = pods.apply(pod, request, settings, facts)
    return Decision(outcome, Dependencies(settings, request, facts))


def _old_object(admission: Request) -> Any:
    return admission.old_object if admission.operation == "UPDATE" else None


async def _facts(webhook: Webhook, request: ModelRequest, settings: Settings) -> Facts | Outcome:
    facts = webhook.facts.cached(request, settings)
    if facts is not None:
        return facts
    try:
        return await webhook.facts.lookup(request, settings)
    except Denied as error:
        return denied(error, settings)
    except LookupFailed as error:
        return lookup_failed(error, settings)
