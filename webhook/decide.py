"""What becomes of a request: one function for each kind of object that is admitted."""

from __future__ import annotations

from typing import Any, NamedTuple

from webhook import rollout
from webhook.admission import Outcome, ask, denied, failed, lookup_failed, settle, skipped
from webhook.context import Webhook
from webhook.errors import Denied, LookupFailed
from webhook.facts import NO_FACTS, Facts
from webhook.request import ModelRequest
from webhook.review import Request
from webhook.settings.admit import admit_settings
from webhook.settings.model import Settings

_NO_SETTINGS = "the storage webhook has no settings yet: try again"


class Basis(NamedTuple):
    """What the outcome of a request rests on, beside the request itself."""

    settings: Settings
    asked: ModelRequest | None = None
    """What facts were looked up for; None when the pod asks for nothing."""
    facts: Facts = NO_FACTS

    def holds(self, webhook: Webhook) -> bool:
        """Whether the same request would have the same outcome now; False also when that must be looked up."""
        snapshot = webhook.settings.current
        if snapshot is None or snapshot.settings is not self.settings:
            return False
        if self.asked is None:
            return True
        facts = webhook.facts.peek(self.asked, self.settings)
        return facts is not None and facts.is_same_reading(self.facts)


class Decision(NamedTuple):
    """What becomes of a request; `basis`: on what else it depends, None when that is not known."""

    outcome: Outcome
    basis: Basis | None = None


async def pods(webhook: Webhook, request: Request) -> Decision:
    """A pod that is created gets the model it asks for."""
    if (request.group, request.kind) != ("", "Pod") or request.sub_resource:
        return Decision(skipped("not-a-pod"))
    if request.operation != "CREATE":
        return Decision(skipped("not-a-create"))
    snapshot = webhook.settings.current
    if snapshot is None:
        return Decision(failed(_NO_SETTINGS))
    settings = snapshot.settings
    asked = ask(request.object, request.namespace, settings)
    if isinstance(asked, Outcome):
        return Decision(asked, Basis(settings))
    facts = await _facts(webhook, asked, settings)
    if isinstance(facts, Outcome):
        return Decision(facts)
    return Decision(settle(request.object, asked, settings, facts), Basis(settings, asked, facts))


async def deployments(webhook: Webhook, request: Request) -> Decision:
    """A Deployment whose pods ask for a model rolls out as its storage needs."""
    return Decision(await _deployment(webhook, request))


async def settings(webhook: Webhook, request: Request) -> Decision:
    """A ConfigMap with settings is admitted when they could be used."""
    return Decision(admit_settings(request.operation, request.object))


async def _deployment(webhook: Webhook, request: Request) -> Outcome:
    if (request.group, request.kind) != ("apps", "Deployment") or request.sub_resource:
        return skipped("not-a-deployment")
    if request.operation not in ("CREATE", "UPDATE"):
        return skipped("not-a-change")
    snapshot = webhook.settings.current
    if snapshot is None:
        return failed(_NO_SETTINGS)
    asked = rollout.ask_deployment(request.object, request.namespace, snapshot.settings)
    if isinstance(asked, Outcome):
        return asked
    facts = await _facts(webhook, asked, snapshot.settings)
    if isinstance(facts, Outcome):
        return facts
    return rollout.settle_deployment(request.object, _previous(request), asked, snapshot.settings, facts)


def _previous(request: Request) -> Any:
    return request.old_object if request.operation == "UPDATE" else None


async def _facts(webhook: Webhook, asked: ModelRequest, settings: Settings) -> Facts | Outcome:
    facts = webhook.facts.cached(asked, settings)
    if facts is not None:
        return facts
    try:
        return await webhook.facts.lookup(asked, settings)
    except Denied as error:
        return denied(error, settings)
    except LookupFailed as error:
        return lookup_failed(error, settings)
