"""What becomes of a pod: the pure core that the server and the command line share.

`ask` reads what the pod asks for; the caller looks up the facts, if any are needed; `settle` makes the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from webhook.errors import Denied, LookupFailed
from webhook.facts import Facts
from webhook.mutate import mutate
from webhook.observe import bare, compare
from webhook.pod import JsonObject
from webhook.request import ModelRequest, Skip, read, unknown_annotations
from webhook.settings.model import Settings

Kind = Literal["injected", "adjusted", "unchanged", "skipped", "denied", "observed", "failed"]

_STATUS_REASONS = {403: "Forbidden", 422: "Invalid", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided: the pod to admit (None: as it came), or why it is not admitted."""

    kind: Kind
    reason: str = ""
    """The skip reason; under observe mode what would have become of the pod."""
    pod: JsonObject | None = None
    warnings: tuple[str, ...] = ()
    message: str = ""
    code: int = 200
    sources: tuple[str, ...] = ()
    """The schemes of the model's URIs."""
    audit: dict[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    """Under observe mode: where the pod is not as it would be made, as fields of its spec."""

    @property
    def allowed(self) -> bool:
        return self.kind not in ("denied", "failed")

    @property
    def status_reason(self) -> str:
        """The `reason` of the response's status (Kubernetes: metav1.StatusReason)."""
        return _STATUS_REASONS.get(self.code, "")


def ask(pod: Any, namespace: str, settings: Settings) -> ModelRequest | Outcome:
    """What the pod asks for; an outcome when that is nothing, or when it cannot be had."""
    if not isinstance(pod, dict):
        return denied(Denied("the AdmissionReview's object is not a Pod: it must be an object"), settings)
    try:
        request = read(pod, namespace, settings)
        if settings.observing and isinstance(request, ModelRequest) and request.already_injected:
            request = _asked_before(pod, request, settings)
    except Denied as error:
        return denied(error, settings)
    if isinstance(request, Skip):
        return skipped(request.reason, _warnings(pod))
    return request


def _asked_before(pod: JsonObject, request: ModelRequest, settings: Settings) -> ModelRequest:
    """What an injected pod asks for, as if nobody had injected it; `request` when it asks for nothing."""
    asked = read(bare(pod), request.namespace, settings)
    return request if isinstance(asked, Skip) else asked


def settle(pod: JsonObject, request: ModelRequest, settings: Settings, facts: Facts) -> Outcome:
    """The outcome for a pod that asks for a model."""
    sources = tuple(dict.fromkeys(source.kind for source in request.sources))
    # To be compared, the pod is made anew, whoever made it what it is.
    given = bare(pod) if settings.observing and not request.already_injected else pod
    try:
        mutated, warnings = mutate(given, request, settings, facts)
    except Denied as error:
        return denied(error, settings, sources)
    if request.already_injected and mutated == pod:
        return skipped("already-injected", warnings)
    if settings.observing:
        return _compared(pod, mutated, warnings, sources)
    kind: Kind = "injected" if mutated != pod else "unchanged"
    return Outcome(kind, pod=mutated, warnings=warnings, sources=sources, audit=_audit(kind, sources=sources))


@lru_cache(maxsize=64)
def skipped(reason: str, warnings: tuple[str, ...] = ()) -> Outcome:
    """Nothing is to be done, by name of reason. Kept, since this is what most requests come to."""
    return Outcome("skipped", reason=reason, warnings=warnings, audit=_audit("skipped", reason))


def failed(message: str, code: int = 503) -> Outcome:
    """What had to be known could not be: refused in a way that a retry may cure."""
    return Outcome("failed", message=message, code=code, audit=_audit("failed"))


def denied(error: Denied, settings: Settings, sources: tuple[str, ...] = ()) -> Outcome:
    """The pod cannot be admitted as it is; under observe mode it is, with a warning."""
    if settings.observing:
        return _observed("denied", (f"would be denied: {error.message}",), sources)
    return Outcome(
        "denied", message=error.message, code=error.code, sources=sources, audit=_audit("denied", sources=sources)
    )


def lookup_failed(error: LookupFailed, settings: Settings) -> Outcome:
    """The cluster did not answer; under observe mode the pod is admitted all the same."""
    if settings.observing:
        return _observed("failed", (f"would be refused: {error}",), ())
    return failed(str(error))


_SAID = {
    "injected": "would be injected, but observe mode changes nothing: ",
    "differs": "has its model, which would be injected otherwise: ",
}


def _compared(pod: JsonObject, made: JsonObject, warnings: tuple[str, ...], sources: tuple[str, ...]) -> Outcome:
    arrival, places = compare(pod, made)
    if places:
        warnings = (_SAID[arrival] + ", ".join(places), *warnings)
    return _observed(arrival, warnings, sources, places)


def _observed(
    would: str, warnings: tuple[str, ...], sources: tuple[str, ...], differences: tuple[str, ...] = ()
) -> Outcome:
    audit = _audit("observed", would, sources)
    if differences:
        audit["differs"] = ",".join(differences)
    return Outcome("observed", reason=would, warnings=warnings, sources=sources, audit=audit, differences=differences)


def _audit(kind: str, reason: str = "", sources: tuple[str, ...] = ()) -> dict[str, str]:
    audit = {"outcome": kind}
    if reason:
        audit["reason"] = reason
    if sources:
        audit["sources"] = ",".join(sources)
    return audit


def _warnings(pod: JsonObject) -> tuple[str, ...]:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return unknown_annotations(annotations)
