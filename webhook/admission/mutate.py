"""The mutation of a pod that requests a model. Pure."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cluster.facts import Facts
from webhook.pod.pod import JsonObject, PodDraft
from webhook.request.model_request import ModelRequest
from webhook.request.shared_cache import shared_cache
from webhook.settings.model import Settings
from webhook.steps import Inputs, steps_for
from webhook.steps.storage_spec import resolve


class Mutation(NamedTuple):
    """The mutated pod, and warnings for its author."""

    pod: JsonObject
    warnings: tuple[str, ...]


def mutate(pod: JsonObject, request: ModelRequest, settings: Settings, facts: Facts) -> Mutation:
    """Run all steps on a copy of `pod`, which shares unchanged parts with it. `pod` is never modified.

    Raises Denied when the request cannot be fulfilled.
    """
    draft = PodDraft(pod, already_injected=request.already_injected)
    inputs = Inputs(resolve(request, facts, settings), settings, facts, shared_cache(request, settings))
    for step in steps_for(request):
        step(draft, inputs)
    return Mutation(draft.pod, (*request.warnings, *draft.warnings))
