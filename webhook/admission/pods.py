"""The outcome for a pod: the pure core that the server and the command line share.

`read` reads what the pod requests; the caller looks up facts, if any are needed; `apply` makes the outcome.
"""

from __future__ import annotations

from typing import Any

from webhook.admission.mutate import mutate
from webhook.admission.observe import compare, without_injection
from webhook.admission.outcome import Kind, Outcome, audit_annotations, denied, observed, skipped
from webhook.cluster.facts import Facts
from webhook.errors import Denied
from webhook.pod.draft import JsonObject
from webhook.request import reader
from webhook.request.model_request import ModelRequest, Skip
from webhook.settings.model import Settings


def read(pod: Any, namespace: str, settings: Settings) -> ModelRequest | Outcome:
    """What the pod requests; an outcome when it requests nothing, or its request is denied."""
    if not isinstance(pod, dict):
        return denied(Denied("the AdmissionReview's object is not a Pod: it must be an object"), settings)
    try:
        request = reader.read(pod, namespace, settings)
        if settings.observing and isinstance(request, ModelRequest) and request.already_injected:
            request = _original_request(pod, request, settings)
    except Denied as error:
        return denied(error, settings)
    if isinstance(request, Skip):
        return skipped(request.reason, request.warnings)
    return request


def _original_request(pod: JsonObject, request: ModelRequest, settings: Settings) -> ModelRequest:
    """What an injected pod requested before it was injected; `request` when it requested nothing."""
    original = reader.read(without_injection(pod), request.namespace, settings)
    return request if isinstance(original, Skip) else original


def apply(pod: JsonObject, request: ModelRequest, settings: Settings, facts: Facts) -> Outcome:
    """The outcome for a pod that requests a model."""
    sources = tuple(dict.fromkeys(source.kind for source in request.sources))
    # Observe mode compares the pod with one that is injected from scratch.
    given = without_injection(pod) if settings.observing and not request.already_injected else pod
    try:
        mutated, warnings = mutate(given, request, settings, facts)
    except Denied as error:
        return denied(error, settings, sources)
    if request.already_injected and mutated == pod:
        return skipped("already-injected", warnings)
    if settings.observing:
        return _compared(pod, mutated, warnings, sources)
    kind: Kind = "injected" if mutated != pod else "unchanged"
    audit = audit_annotations(kind, sources=sources, containers=request.targets)
    return Outcome(kind, mutated=mutated, warnings=warnings, sources=sources, containers=request.targets, audit=audit)


_OBSERVED_WARNINGS = {
    "injected": "would be injected, but observe mode changes nothing: ",
    "differs": "has its model, but would be injected differently: ",
}


def _compared(pod: JsonObject, mutated: JsonObject, warnings: tuple[str, ...], sources: tuple[str, ...]) -> Outcome:
    result, fields = compare(pod, mutated)
    if fields:
        warnings = (_OBSERVED_WARNINGS[result] + ", ".join(fields), *warnings)
    return observed(result, warnings, sources, fields)
