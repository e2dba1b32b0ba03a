"""The mutation: a pod and what it asks for in, the pod with its model out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from webhook.facts import Facts
from webhook.pod import JsonObject, PodDraft
from webhook.request import ModelRequest
from webhook.settings.model import Settings
from webhook.steps import REINVOCATION_STEPS, STEPS, Inputs
from webhook.steps.storage_spec import resolve


class Mutation(NamedTuple):
    """What became of a pod, and what its author should know."""

    pod: JsonObject
    warnings: tuple[str, ...]


def mutate(pod: JsonObject, request: ModelRequest, settings: Settings, facts: Facts) -> Mutation:
    """The pod after all steps; what no step touched is shared with `pod`, which is never modified.

    Raises Denied when the pod cannot get its model as it asks.
    """
    draft = PodDraft(pod)
    inputs = Inputs(resolve(request, facts, settings), settings, facts)
    for step in REINVOCATION_STEPS if request.already_injected else STEPS:
        step(draft, inputs)
    return Mutation(draft.pod, (*request.warnings, *draft.warnings))
