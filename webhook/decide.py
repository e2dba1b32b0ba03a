"""What becomes of a request: one function for each kind of object that is admitted."""

from __future__ import annotations

from typing import Any

from webhook import rollout
from webhook.admission import Outcome, ask, denied, failed, lookup_failed, settle, skipped
from webhook.context import Webhook
from webhook.errors import Denied, LookupFailed
from webhook.facts import Facts
from webhook.request import ModelRequest
from webhook.review import Request
from webhook.settings.admit import admit_settings
from webhook.settings.model import Settings

_NO_SETTINGS = "the storage webhook has no settings yet: try again"


async def pods(webhook: Webhook, request: Request) -> Outcome:
    """A pod that is created gets the model it asks for."""
    if (request.group, request.kind) != ("", "Pod") or request.sub_resource:
        return skipped("not-a-pod")
    if request.operation != "CREATE":
        return skipped("not-a-create")
    snapshot = webhook.settings.current
    if snapshot is None:
        return failed(_NO_SETTINGS)
    asked = ask(request.object, request.namespace, snapshot.settings)
    if isinstance(asked, Outcome):
        return asked
    facts = await _facts(webhook, asked, snapshot.settings)
    return facts if isinstance(facts, Outcome) else settle(request.object, asked, snapshot.settings, facts)


async def deployments(webhook: Webhook, request: Request) -> Outcome:
    """A Deployment whose pods ask for a model rolls out as its storage needs."""
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


async def settings(webhook: Webhook, request: Request) -> Outcome:
    """A ConfigMap with settings is admitted when they could be used."""
    return admit_settings(request.operation, request.object)


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
